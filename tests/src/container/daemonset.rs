//! What `deploy/kubernetes/injector.yaml` has the kubelet run, put the way the kubelet and a container runtime put it to an
//! OCI runtime.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::container::seccomp::runtime_default;
use crate::host::netns::Netns;
use crate::parsers::yaml;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/injector.yaml");
const NAMESPACES: [&str; 5] = ["pid", "ipc", "uts", "mount", "cgroup"];

/// The plain manifest.
#[derive(Clone, Debug)]
pub struct DaemonSet {
    documents: Vec<Value>,
}

impl DaemonSet {
    /// Reads the manifest that ships.
    pub fn shipped() -> Self {
        let text = fs::read_to_string(MANIFEST).unwrap_or_else(|error| panic!("cannot read {MANIFEST}: {error}"));
        Self { documents: text.split("\n---\n").map(yaml).collect() }
    }

    /// The configuration file that it comes with.
    pub fn configuration(&self) -> &str {
        self.document("ConfigMap")["data"]["config.toml"].as_str().expect("it has a configuration")
    }

    /// The path and port of its probes.
    pub fn probes(&self) -> Vec<(String, u16)> {
        let container = self.container();
        let ports = container["ports"].as_array().expect("ports are listed");
        let number = |name: &Value| ports.iter().find(|port| port["name"] == *name)?["containerPort"].as_u64();
        let probes = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| &container[probe]["httpGet"]);
        let endpoints = probes.map(|get| (get["path"].as_str().map(str::to_owned), number(&get["port"])));
        endpoints
            .map(|(path, port)| (path.expect("a path"), port.and_then(|port| port.try_into().ok()).expect("a port")))
            .into()
    }

    /// Its capabilities: all are dropped, and these added.
    pub fn capabilities(&self) -> Vec<String> {
        let capabilities = &self.container()["securityContext"]["capabilities"];
        assert_eq!(capabilities["drop"], json!(["ALL"]));
        let added = capabilities["add"].as_array().expect("capabilities are listed").iter().filter_map(Value::as_str);
        added.map(|name| format!("CAP_{name}")).collect()
    }

    /// Turns what is known of an image into what the container is run with, with these capabilities, in a pod that has the
    /// network `netns`. `host` says where this machine has a directory of the host, or the content of a volume by its name.
    pub fn apply(&self, spec: &mut Value, capabilities: &[String], netns: &Netns, host: impl Fn(&str) -> String) {
        let container = self.container();
        let context = &container["securityContext"];
        assert_eq!(context["privileged"], false);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        // There is none here either. The default one denies pins.
        assert_eq!(context["appArmorProfile"]["type"], "Unconfined");
        let arguments = container["args"].as_array().expect("arguments are listed");
        let process = &mut spec["process"];
        process["args"].as_array_mut().expect("the image has an entry point").extend(arguments.iter().cloned());
        process["terminal"] = json!(false);
        process["user"] = json!({ "uid": context["runAsUser"], "gid": context["runAsGroup"] });
        process["noNewPrivileges"] = json!(context["allowPrivilegeEscalation"] == false);
        process["capabilities"] =
            json!({ "bounding": capabilities, "effective": capabilities, "permitted": capabilities });
        spec["root"]["readonly"] = context["readOnlyRootFilesystem"].clone();

        let mounts = spec["mounts"].as_array_mut().expect("a container has mounts");
        let volumes = container["volumeMounts"].as_array().expect("volumes are mounted");
        mounts.retain(|mount| !volumes.iter().any(|volume| volume["mountPath"] == mount["destination"]));
        mounts.extend(volumes.iter().map(|volume| self.mount(volume, &host)));

        // Devices are a runtime's own, and a limit of memory needs a controller, which hybrid hosts don't have here.
        spec["linux"]["resources"] = json!({});
        let namespaces: Vec<Value> = NAMESPACES.iter().map(|kind| json!({ "type": kind })).collect();
        spec["linux"]["namespaces"] = Value::Array(namespaces);
        let network = json!({ "type": "network", "path": netns.path() });
        spec["linux"]["namespaces"].as_array_mut().expect("just made").push(network);
        spec["linux"]["seccomp"] = runtime_default(capabilities);
    }

    fn mount(&self, volume: &Value, host: impl Fn(&str) -> String) -> Value {
        let volumes = self.pod()["volumes"].as_array().expect("the pod has volumes");
        let found = volumes.iter().find(|one| one["name"] == volume["name"]).expect("it is one of the pod's");
        let named = found["hostPath"]["path"].as_str().or_else(|| found["name"].as_str()).expect("it has a name");
        let source = host(named);
        assert!(Path::new(&source).is_dir(), "{source} is no directory");
        let propagation = if volume["mountPropagation"] == "HostToContainer" { "rslave" } else { "rprivate" };
        let access = if volume["readOnly"] == true { "ro" } else { "rw" };
        let options = ["rbind", propagation, access];
        json!({ "destination": volume["mountPath"], "type": "bind", "source": source, "options": options })
    }

    fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    fn pod(&self) -> &Value {
        &self.document("DaemonSet")["spec"]["template"]["spec"]
    }

    fn document(&self, kind: &str) -> &Value {
        self.documents.iter().find(|document| document["kind"] == kind).expect("the manifest has one")
    }
}
