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

variable "emails" {
  description = "Service accounts by role, as the module identity gives them out."
  type        = map(string)

  validation {
    condition     = alltrue([for email in values(var.emails) : endswith(email, ".gserviceaccount.com")])
    error_message = "A service account's address ends in .gserviceaccount.com."
  }
}

variable "kms_keys" {
  description = "Keys by bucket: raw, lake, ledger, temp, keys."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["raw", "lake", "ledger", "temp", "keys"], keys(var.kms_keys))) == 0
    error_message = "Each bucket needs its key: raw, lake, ledger, temp and keys."
  }
}

variable "creator_role" {
  description = "Role that creates and reads objects, and deletes none."
  type        = string

  validation {
    condition     = can(regex("^(projects|organizations)/[^/]+/roles/[^/]+$", var.creator_role))
    error_message = "A custom role is named projects/P/roles/R; Google's own roles for objects delete or cannot read."
  }
}

variable "eraser_role" {
  description = "Role that also deletes; it goes to the erasure identity alone."
  type        = string

  validation {
    condition     = can(regex("^(projects|organizations)/[^/]+/roles/[^/]+$", var.eraser_role))
    error_message = "A custom role is named projects/P/roles/R."
  }
}

variable "delete_tags" {
  description = "Tag values that say who may delete from a bucket: erasure, nobody. Empty: no deny policy is there."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.delete_tags) == 0 || length(setsubtract(["erasure", "nobody"], keys(var.delete_tags))) == 0
    error_message = "Either no tags, or both: erasure and nobody."
  }
}

variable "stewards" {
  description = "People who keep the ledger: they record grants and withdrawals, and read the lake."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.stewards : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "contributors" {
  description = "Who brings raw recordings: they add and read, and overwrite and delete nothing."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.contributors : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "raw_storage_class" {
  description = "Class of raw recordings. A run reads each once, so a cold class costs more than it saves unless they rest for months."
  type        = string
  default     = "STANDARD"

  validation {
    condition     = contains(["STANDARD", "NEARLINE"], var.raw_storage_class)
    error_message = "STANDARD or NEARLINE: the colder classes bill a deletion before 90 days, and an erasure does not wait."
  }
}

variable "abort_uploads_days" {
  description = "Days after which an upload that was not finished is dropped."
  type        = number
  default     = 7

  validation {
    condition     = var.abort_uploads_days >= 1 && var.abort_uploads_days <= 30
    error_message = "Unfinished uploads are dropped after 1 to 30 days."
  }
}

variable "temp_days" {
  description = "Days after which what engines put down in temp is deleted. More than the longest job takes."
  type        = number
  default     = 14

  validation {
    condition     = var.temp_days >= 3 && var.temp_days <= 90
    error_message = "Temporary objects are kept for 3 to 90 days."
  }
}

variable "ledger_retention_days" {
  description = "Days for which nothing of the ledger can be deleted or replaced, by anybody."
  type        = number

  validation {
    condition     = var.ledger_retention_days >= 1 && var.ledger_retention_days <= 36500
    error_message = "The ledger is retained for 1 to 36,500 days."
  }
}

variable "ledger_retention_locked" {
  description = "Whether the retention of the ledger is locked for good: it can never be shortened again, and the bucket not be removed."
  type        = bool
  default     = false

  validation {
    condition     = var.ledger_retention_locked != null
    error_message = "Say true or false."
  }
}
