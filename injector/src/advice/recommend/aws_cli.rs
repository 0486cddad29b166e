//! AWS CLI: the timeouts of interfaces and listeners that exist.

use super::Limit;

/// `seconds` must lie in the ranges of both.
pub(super) fn text(limit: &Limit, seconds: u32) -> String {
    let why = limit.hop_comment();
    format!(
        "\
{why}# Interface and listener get the same timeout:
# a listener that waits longer than the interface keeps connections which the interface has dropped.
# For a shell: set ENI_ID and LISTENER_ARN first. The listener must be a TCP one: a TLS listener stays at 350 s.
aws ec2 modify-network-interface-attribute \\
    --network-interface-id \"${{ENI_ID:?the network interface, eni-...}}\" \\
    --connection-tracking-specification TcpEstablishedTimeout={seconds}
# New connections only.
aws elbv2 modify-listener-attributes \\
    --listener-arn \"${{LISTENER_ARN:?the TCP listener of the NLB, arn:aws:...}}\" \\
    --attributes Key=tcp.idle_timeout.seconds,Value={seconds}
"
    )
}
