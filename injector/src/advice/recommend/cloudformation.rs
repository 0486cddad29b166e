//! CloudFormation: a template with the two resources and their timeouts.

use super::Limit;

/// `seconds` must lie in the ranges of both.
pub(super) fn text(limit: &Limit, seconds: u32) -> String {
    let why = limit.hop_comment();
    format!(
        "\
{why}# Interface and listener get the same timeout:
# a listener that waits longer than the interface keeps connections which the interface has dropped.
# A stack of its own as it stands; for resources that you have, take over the marked properties.
AWSTemplateFormatVersion: \"2010-09-09\"
Parameters:
  LoadBalancerArn:
    Type: String
  TargetGroupArn:
    Type: String
  Port:
    Type: Number
Resources:
  LaunchTemplate:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        NetworkInterfaces:
          - DeviceIndex: 0
            # Also a property of AWS::EC2::NetworkInterface.
            ConnectionTrackingSpecification:
              TcpEstablishedTimeout: {seconds}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: {{ Ref: LoadBalancerArn }}
      Port: {{ Ref: Port }}
      Protocol: TCP
      DefaultActions:
        - Type: forward
          TargetGroupArn: {{ Ref: TargetGroupArn }}
      # TCP listeners only: a TLS listener stays at 350 s.
      ListenerAttributes:
        - Key: tcp.idle_timeout.seconds
          Value: \"{seconds}\"
"
    )
}
