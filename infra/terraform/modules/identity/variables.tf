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

variable "labels" {
  description = "Labels of everything that bears labels; bills are split by them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", name)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels are lower case letters, digits, hyphens and underscores; names begin with a letter."
  }
}

variable "keys" {
  description = "Kinds of things that get a key of their own."
  type        = set(string)
  default     = ["raw", "lake", "ledger", "temp", "keys", "registry", "cluster", "composer", "warehouse", "logs"]

  validation {
    condition     = length(setsubtract(["raw", "lake", "ledger", "temp", "keys"], var.keys)) == 0
    error_message = "Each bucket needs its key: raw, lake, ledger, temp and keys must be among them."
  }
}

variable "key_rotation_days" {
  description = "Days after which a key gets a new version; old versions go on decrypting."
  type        = number
  default     = 90

  validation {
    condition     = var.key_rotation_days >= 1 && var.key_rotation_days <= 365
    error_message = "Keys rotate every 1 to 365 days."
  }
}

variable "guard_deletes" {
  description = "Whether a deny policy keeps everybody else from deleting. Making it needs roles/iam.denyAdmin and an organization; without it, keep wide roles out of the project."
  type        = bool
  default     = true

  validation {
    condition     = var.guard_deletes != null
    error_message = "Say true or false."
  }
}
