//! Terraform: two resources with their timeouts.

use super::Limit;

/// `seconds` must lie in the ranges of both.
pub(super) fn text(limit: &Limit, seconds: u32) -> String {
    let why = limit.hop_comment();
    format!(
        "\
{why}# Interface and listener get the same timeout:
# a listener that waits longer than the interface keeps connections which the interface has dropped.
# A module of its own as it stands; for resources that you have, take over the marked arguments.
variable \"load_balancer_arn\" {{
  type = string
}}

variable \"target_group_arn\" {{
  type = string
}}

variable \"port\" {{
  type = number
}}

resource \"aws_launch_template\" \"this\" {{
  network_interfaces {{
    device_index = 0

    # The timeout of the interface.
    connection_tracking_specification {{
      tcp_established_timeout = {seconds}
    }}
  }}
}}

resource \"aws_lb_listener\" \"this\" {{
  load_balancer_arn = var.load_balancer_arn
  port              = var.port
  protocol          = \"TCP\"

  # TCP listeners only: a TLS listener stays at 350 s.
  tcp_idle_timeout_seconds = {seconds}

  default_action {{
    type             = \"forward\"
    target_group_arn = var.target_group_arn
  }}
}}
"
    )
}
