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

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.lake_bucket))
    error_message = "A bucket's name, without gs://."
  }
}

variable "lake_uri" {
  description = "The lake, as `provoice run --lake` takes it."
  type        = string

  validation {
    condition     = startswith(var.lake_uri, "gs://${var.lake_bucket}/") && !endswith(var.lake_uri, "/")
    error_message = "A folder of the lake's bucket, without a slash at its end."
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

variable "stewards" {
  description = "Who sees every column."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.stewards : can(regex("^(group|user|serviceAccount):.+@.+$", member))])
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
