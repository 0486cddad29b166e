//! What `recommend` prints is read by the parser of its target.

use std::collections::BTreeMap;

use injector_tests::{Injector, Keepalive, Netns, Output, Peer, Place, Route, connected, hcl, pipe, yaml};
use serde_json::{Value, json};

use crate::attach::errors::{USAGE, assert_fails};
use crate::scene::USUAL;

const TARGETS: [&str; 14] = [
    "sysctl",
    "postgresql",
    "redis",
    "mysql",
    "jdbc",
    "kafka",
    "envoy",
    "haproxy",
    "nginx",
    "windows",
    "aws-cli",
    "cloudformation",
    "terraform",
    "launch-template",
];

/// What is printed for a target.
pub(crate) fn recommended(target: &str, timeout: &str) -> String {
    run(&["--for", target, "--timeout", timeout]).ok().stdout
}

fn run(arguments: &[&str]) -> Output {
    Injector::find().run(&[&["recommend"], arguments].concat())
}

/// The settings of a file of `KEY=VALUE` lines.
fn properties(text: &str) -> BTreeMap<&str, &str> {
    let settings = text.lines().filter(|line| !line.starts_with('#'));
    settings.map(|line| line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}"))).collect()
}

#[test]
fn every_target_has_settings_and_says_for_which_limit() {
    for target in TARGETS {
        let output = run(&["--for", target]).ok();
        assert_eq!(output.stderr, "", "{target}");
        assert_eq!(output.stdout, recommended(target, "350s"), "{target}: 350 s is the default");
        assert!(output.stdout.contains("idle timeout of 350s"), "{target}: {}", output.stdout);
        assert!(output.stdout.ends_with('\n'), "{target}");
    }
}

#[test]
fn what_is_no_target_or_no_timeout() {
    assert_fails(&run(&[]), USAGE, &["--for"]);
    assert_fails(&run(&["--for", "postgres"]), USAGE, &["postgres", "postgresql", "sysctl", "launch-template"]);
    for timeout in ["1s", "0", "50days", "soon"] {
        assert_fails(&run(&["--for", "sysctl", "--timeout", timeout]), USAGE, &["timeout"]);
    }
    for target in ["aws-cli", "cloudformation", "terraform"] {
        for timeout in ["59s", "6001s", "90500ms"] {
            let refused = run(&["--for", target, "--timeout", timeout]);
            assert_fails(&refused, USAGE, &["--timeout is", "tcp.idle_timeout.seconds", "60 to 6000"]);
        }
    }
    for timeout in ["59s", "432001s"] {
        let refused = run(&["--for", "launch-template", "--timeout", timeout]);
        assert_fails(&refused, USAGE, &["--timeout is", "TcpEstablishedTimeout", "60 to 432000"]);
    }
}

#[test]
fn sysctls_become_the_default_of_sockets() {
    let netns = Netns::new("recommend");
    for (timeout, expected) in
        [("350s", USUAL), ("60s", Keepalive::on(41, 5, 9)), ("5d", Keepalive::on(32767, 32767, 9))]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), recommended("sysctl", timeout)).unwrap();
        netns.tool("sysctl", &["-p", file.path().to_str().unwrap()]);
        let (mut client, mut server) = (Peer::spawn(Place::netns(&netns)), Peer::spawn(Place::netns(&netns)));
        for route in [Route::V4, Route::V6] {
            let (near, _far) = connected(&mut client, &mut server, route);
            client.set(&near, "SO_KEEPALIVE", 1);
            assert_eq!(client.keepalive(&near), expected, "{timeout} {route:?}");
        }
    }
}

#[test]
fn aws_cli_gets_one_command_for_each_hop() {
    // Stands in for the CLI: an argument a line.
    let shell = |script: &str, variables: &[&str]| {
        let command = [variables, &["bash", "-eu", "-s"]].concat();
        let script = format!("aws() {{ printf '%s\\n' aws \"$@\"; }}\n{script}");
        pipe("env", &command, &script).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let arguments = shell(&recommended("aws-cli", "20m"), &["ENI_ID=eni-1", "LISTENER_ARN=arn:1"]);
    let interface = [
        "aws",
        "ec2",
        "modify-network-interface-attribute",
        "--network-interface-id",
        "eni-1",
        "--connection-tracking-specification",
        "TcpEstablishedTimeout=1200",
    ];
    let listener = [
        "aws",
        "elbv2",
        "modify-listener-attributes",
        "--listener-arn",
        "arn:1",
        "--attributes",
        "Key=tcp.idle_timeout.seconds,Value=1200",
    ];
    assert_eq!(arguments, [interface, listener].concat());

    let arguments = shell(&recommended("launch-template", "5d"), &["LAUNCH_TEMPLATE_ID=lt-1"]);
    assert_eq!(arguments[..5], ["aws", "ec2", "create-launch-template-version", "--launch-template-id", "lt-1"]);
    assert_eq!(arguments[5..8], ["--source-version", "$Latest", "--launch-template-data"]);
    let data: Value = serde_json::from_str(&arguments[8..].concat()).unwrap();
    let interface = json!({"DeviceIndex": 0, "ConnectionTrackingSpecification": {"TcpEstablishedTimeout": 432_000}});
    assert_eq!(data, json!({"NetworkInterfaces": [interface]}));
}

#[test]
fn aws_cli_does_nothing_until_it_knows_on_what() {
    for target in ["aws-cli", "launch-template"] {
        // Neither does a shell that goes on after errors.
        let script = format!("aws() {{ echo called; }}\n(\n{}) && exit 1\nexit 0", recommended(target, "350s"));
        assert_eq!(pipe("bash", &["-s"], &script), "", "{target}");
    }
}

#[test]
fn cloudformation_is_a_template() {
    let template = yaml(&recommended("cloudformation", "100m"));
    assert_eq!(template["AWSTemplateFormatVersion"], "2010-09-09");
    let interfaces = &template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["NetworkInterfaces"];
    assert_eq!(interfaces[0]["ConnectionTrackingSpecification"], json!({"TcpEstablishedTimeout": 6000}));
    let listener = &template["Resources"]["Listener"]["Properties"];
    assert_eq!(listener["ListenerAttributes"], json!([{"Key": "tcp.idle_timeout.seconds", "Value": "6000"}]));
    for (property, parameter) in [("LoadBalancerArn", "LoadBalancerArn"), ("Port", "Port")] {
        assert_eq!(listener[property], json!({"Ref": parameter}));
        assert!(template["Parameters"][parameter].is_object());
    }
}

#[test]
fn terraform_is_a_module() {
    let module = hcl(&recommended("terraform", "60s"));
    let template = &module["resource"]["aws_launch_template"]["this"];
    let tracking = &template["network_interfaces"]["connection_tracking_specification"];
    assert_eq!(tracking, &json!({"tcp_established_timeout": 60}));
    assert_eq!(module["resource"]["aws_lb_listener"]["this"]["tcp_idle_timeout_seconds"], 60);
    for variable in ["load_balancer_arn", "target_group_arn", "port"] {
        assert!(module["variable"][variable].is_object(), "{variable}");
    }
}

#[test]
fn envoy_gets_fields_and_the_socket_options_of_linux() {
    let resources = &yaml(&recommended("envoy", "350s"))["static_resources"];
    let keepalive = &resources["clusters"][0]["upstream_connection_options"]["tcp_keepalive"];
    assert_eq!(keepalive, &json!({"keepalive_time": 240, "keepalive_interval": 30, "keepalive_probes": 9}));
    let options = resources["listeners"][0]["socket_options"].as_array().unwrap();
    let numbers: Vec<_> = options.iter().map(|one| [&one["level"], &one["name"], &one["int_value"]]).collect();
    let python = "import json, socket as s; print(json.dumps([\
         [s.SOL_SOCKET, s.SO_KEEPALIVE, 1], [s.IPPROTO_TCP, s.TCP_KEEPIDLE, 240], \
         [s.IPPROTO_TCP, s.TCP_KEEPINTVL, 30], [s.IPPROTO_TCP, s.TCP_KEEPCNT, 9]]))";
    let expected: Value = serde_json::from_str(&pipe("/usr/bin/python3", &["-c", python], "")).unwrap();
    assert_eq!(json!(numbers), expected);
    assert!(options.iter().all(|option| option["state"] == "STATE_PREBIND"));
}

#[test]
fn windows_gets_a_registry_file() {
    let text = recommended("windows", "350s");
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    assert_eq!(lines.next(), Some("Windows Registry Editor Version 5.00"));
    let key = r"[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters]";
    assert_eq!(lines.next(), Some(key));
    let values: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once("=dword:").unwrap_or_else(|| panic!("no value: {line}"));
            (name.trim_matches('"'), u32::from_str_radix(value, 16).unwrap())
        })
        .collect();
    assert_eq!(values, [("KeepAliveTime", 240_000), ("KeepAliveInterval", 30_000)]);
}

#[test]
fn java_gets_properties() {
    let text = recommended("kafka", "350s");
    assert_eq!(properties(&text), BTreeMap::from([("connections.max.idle.ms", "240000")]));
    let text = recommended("jdbc", "350s");
    let expected = [("dataSource.tcpKeepAlive", "true"), ("keepaliveTime", "240000")];
    assert_eq!(properties(&text), BTreeMap::from(expected));
}
