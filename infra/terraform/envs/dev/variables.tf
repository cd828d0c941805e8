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

variable "zone" {
  description = "Zone of the Ray cluster."
  type        = string

  validation {
    condition     = startswith(var.zone, "${var.region}-")
    error_message = "A zone of the region, such as europe-west4-a."
  }
}

variable "image_tag" {
  description = "Tag of the image that is run."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "A tag such as 0.1.0; `latest` says nothing about what ran."
  }
}

variable "stewards" {
  description = "People who keep the ledger and see every column."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.stewards : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "contributors" {
  description = "Who brings raw recordings."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.contributors : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "analysts" {
  description = "Who may ask the tables, without the columns that lead to a person and without transcripts."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.analysts : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "transcript_readers" {
  description = "Who sees transcripts as well; as analysts, they must be able to read the tables."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.transcript_readers : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
    error_message = "Members are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "snapshot" {
  description = "Number of the newest snapshot, as `provoice snapshot` says it; null: there is none yet, and no table."
  type        = number
  default     = null

  validation {
    condition     = try(var.snapshot >= 0 && floor(var.snapshot) == var.snapshot, var.snapshot == null)
    error_message = "A snapshot has a whole number."
  }
}

variable "releases" {
  description = "Releases to show, by name: the version, the parts of its index as release.json lists them (paths within the lake; never a glob, which sees leftovers), and who may read its rows."
  type = map(object({
    version = number
    index   = list(string)
    readers = set(string)
  }))
  default = {}

  validation {
    condition = alltrue([for name, release in var.releases :
      can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", name)) && length(release.index) > 0 &&
      alltrue([for part in release.index : can(regex("^releases/[^*?]+/index/part-[^*?/]+[.]parquet$", part))])
    ])
    error_message = "Each release names the parts of its index: releases/NAME/VERSION/index/part-00000-….parquet."
  }

  validation {
    condition     = alltrue(flatten([for release in values(var.releases) : [for reader in release.readers : can(regex("^(group|user|serviceAccount):.+@.+$", reader))]]))
    error_message = "Readers are group:, user: or serviceAccount: and an address; never allUsers."
  }
}

variable "alert_emails" {
  description = "Who is told when something is wrong."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "Addresses such as oncall@example.org."
  }
}

variable "monthly_budget" {
  description = "What a month may cost before somebody is told; null: no budget."
  type = object({
    billing_account = string
    amount          = number
    currency        = string
  })
  default = null

  validation {
    condition     = var.monthly_budget == null || try(var.monthly_budget.amount >= 1, false)
    error_message = "A billing account, an amount and a currency."
  }
}

variable "guard_deletes" {
  description = "Whether a deny policy keeps everybody but the erasure identity from deleting. Making it needs roles/iam.denyAdmin and an organization."
  type        = bool
  default     = true

  validation {
    condition     = var.guard_deletes != null
    error_message = "Say true or false."
  }
}

variable "parts" {
  description = "What there is beside storage, identity, registry, warehouse and observability: dataflow, ray, composer."
  type        = set(string)
  default     = ["dataflow"]

  validation {
    condition     = length(setsubtract(var.parts, ["dataflow", "ray", "composer"])) == 0
    error_message = "Parts are dataflow, ray and composer."
  }
}
