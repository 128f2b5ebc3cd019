# AWS Application Load Balancer in front of @PURPOSE@, Terraform.  Our tests cannot run this: try it with
#   certbound doctor https://@HOST@ --cert client.pem --key client.key
#
# A load balancer cannot send a secret, so certbound has to be the listener itself and to be told so in words:
#   @EACH_OTHER_SIDE@
# Whoever can reach certbound past the load balancer then names any certificate: the security group below is the lock.
# Mutual TLS is of the whole listener: give the authorization server's conventional host a load balancer of its own.

variable "subnets" {}
variable "vpc_id" {}
variable "certificate_arn" {}
variable "application_security_group_id" {}
@if verify@
variable "trust_store_arn" {}
@end@

resource "aws_lb" "certbound" {
  name               = "certbound"
  load_balancer_type = "application"
  subnets            = var.subnets
  security_groups    = [aws_security_group.certbound_lb.id]
  # Requests that two parsers could read differently, and names that applications take for others, go no further.
  desync_mitigation_mode     = "strictest"
  drop_invalid_header_fields = true
  # certbound compares the host with its own.
  preserve_host_header = true
}

resource "aws_lb_listener" "certbound" {
  load_balancer_arn = aws_lb.certbound.arn
  port              = @PORT@
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  mutual_authentication {
@if passthrough@
    # Any certificate comes through, or none, with its chain: certbound judges it.
    mode = "passthrough"
@end@
@if verify@
    # Your trust store is asked first; what it lets through certbound judges again.  Self-signed clients are kept out.
    mode            = "verify"
    trust_store_arn = var.trust_store_arn
@end@
  }
  # Whoever names another host ends here.
  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      status_code  = "421"
    }
  }
}

resource "aws_lb_listener_rule" "certbound" {
  listener_arn = aws_lb_listener.certbound.arn
  condition {
    host_header {
      values = ["@HOST@"]
    }
  }
  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.certbound.arn
  }
}

resource "aws_lb_target_group" "certbound" {
  name        = "certbound"
  port        = @UPSTREAM_PORT@
  protocol    = "HTTP"
  vpc_id      = var.vpc_id
  target_type = "ip"
}

resource "aws_security_group" "certbound_lb" {
  name   = "certbound-lb"
  vpc_id = var.vpc_id
  ingress {
    from_port   = @PORT@
    to_port     = @PORT@
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    from_port       = @UPSTREAM_PORT@
    to_port         = @UPSTREAM_PORT@
    protocol        = "tcp"
    security_groups = [var.application_security_group_id]
  }
}

# The lock: the application is reached through the load balancer and in no other way.
resource "aws_security_group_rule" "certbound_application" {
  type                     = "ingress"
  from_port                = @UPSTREAM_PORT@
  to_port                  = @UPSTREAM_PORT@
  protocol                 = "tcp"
  security_group_id        = var.application_security_group_id
  source_security_group_id = aws_security_group.certbound_lb.id
}
