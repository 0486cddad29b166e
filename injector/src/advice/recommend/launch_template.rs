//! EC2 launch template: the interfaces of instances yet to come.

use super::Limit;

/// `seconds` must lie in the range of an interface.
pub(super) fn text(limit: &Limit, seconds: u32) -> String {
    let why = limit.hop_comment();
    format!(
        "\
{why}# No NLB listener on the path may wait longer (`injector recommend --for aws-cli`).
# For a shell: set LAUNCH_TEMPLATE_ID first. The new version inherits all but NetworkInterfaces: what yours says there
# (subnet, security groups) must be added, and security groups at the top move into the interface.
aws ec2 create-launch-template-version \\
    --launch-template-id \"${{LAUNCH_TEMPLATE_ID:?the launch template, lt-...}}\" \\
    --source-version '$Latest' \\
    --launch-template-data '{{
        \"NetworkInterfaces\": [
            {{ \"DeviceIndex\": 0, \"ConnectionTrackingSpecification\": {{ \"TcpEstablishedTimeout\": {seconds} }} }}
        ]
    }}'
"
    )
}
