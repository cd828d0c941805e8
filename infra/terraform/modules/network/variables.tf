variable "project_id" {
  description = "Project in which everything is made."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower case letters, digits and hyphens, and begins with a letter."
  }
}

variable "region" {
  description = "Region of everything that is bound to one, such as europe-west4."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west4."
  }
}

variable "prefix" {
  description = "What names begin with, so that several installations can share a project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,13}[a-z0-9]$", var.prefix))
    error_message = "The prefix has 3 to 15 lower case letters, digits and hyphens, and begins with a letter."
  }
}

variable "ranges" {
  description = "Addresses of nodes, pods and services, as CIDR ranges that do not overlap."
  type = object({
    nodes    = string
    pods     = string
    services = string
  })
  default = {
    nodes    = "10.64.0.0/20"
    pods     = "10.68.0.0/14"
    services = "10.72.0.0/20"
  }

  validation {
    condition     = alltrue([for range in values(var.ranges) : can(cidrhost(range, 0))])
    error_message = "Each of nodes, pods and services is a CIDR range such as 10.64.0.0/20."
  }
}

variable "internet" {
  description = "Whether machines reach the internet, through NAT. The image has everything in it, so a run needs none; a model from a hub does."
  type        = bool
  default     = false

  validation {
    condition     = var.internet != null
    error_message = "Say true or false."
  }
}
