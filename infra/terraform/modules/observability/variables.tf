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

variable "kms_key" {
  description = "Key that encrypts what lies here, by its full name."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "A key is named projects/P/locations/L/keyRings/R/cryptoKeys/K."
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

variable "project_number" {
  description = "The project's number, by which budgets name it."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "A project's number has digits only."
  }
}

variable "buckets" {
  description = "Names of the buckets: raw, lake, ledger, temp, keys."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["raw", "lake", "ledger", "temp", "keys"], keys(var.buckets))) == 0
    error_message = "All five are watched: raw, lake, ledger, temp and keys."
  }
}

variable "namespace" {
  description = "Kubernetes namespace whose logs are those of runs."
  type        = string
  default     = "provoice"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace has lower case letters, digits and hyphens."
  }
}

variable "audit_days" {
  description = "Days for which it is kept who touched what."
  type        = number
  default     = 400

  validation {
    condition     = var.audit_days >= 30 && var.audit_days <= 3650
    error_message = "30 to 3,650 days."
  }
}

variable "run_log_days" {
  description = "Days for which it is kept what runs said. Logs may name a source, and cannot be erased one by one: keep this short."
  type        = number
  default     = 30

  validation {
    condition     = var.run_log_days >= 1 && var.run_log_days <= 90
    error_message = "1 to 90 days."
  }
}

variable "audit_reads" {
  description = "Whether every read of an object is logged too. It is billed by volume, and a run reads much."
  type        = bool
  default     = false

  validation {
    condition     = var.audit_reads != null
    error_message = "Say true or false."
  }
}

variable "alert_emails" {
  description = "Who is told."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "Addresses such as oncall@example.org."
  }
}

variable "monthly_budget" {
  description = "What a month may cost before somebody is told, at 50, 90 and 100 per cent and when the forecast passes it; null: no budget. It stops nothing; `provoice plan --budget` does."
  type = object({
    billing_account = string
    amount          = number
    currency        = string
  })
  default = null

  validation {
    condition = var.monthly_budget == null || try(
      can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.monthly_budget.billing_account)) &&
      var.monthly_budget.amount >= 1 && can(regex("^[A-Z]{3}$", var.monthly_budget.currency)), false
    )
    error_message = "A billing account such as 012345-6789AB-CDEF01, an amount, and a currency such as EUR."
  }
}
