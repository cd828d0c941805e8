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

variable "network" {
  description = "The network, by its self link."
  type        = string

  validation {
    condition     = strcontains(var.network, "/networks/")
    error_message = "A self link of a network has /networks/ in it."
  }
}

variable "subnetwork" {
  description = "The subnetwork of the region, by its self link."
  type        = string

  validation {
    condition     = strcontains(var.subnetwork, "/subnetworks/")
    error_message = "A self link of a subnetwork has /subnetworks/ in it."
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

variable "image" {
  description = "The image, with its tag or, better, its digest."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+/[^:@]+(:[^:@]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name the image with a tag or a digest; `latest` says nothing about what ran."
  }
}

variable "metadata_path" {
  description = "The template's metadata: infra/dataflow/metadata.json."
  type        = string

  validation {
    condition     = fileexists(var.metadata_path) && can(jsondecode(file(var.metadata_path)))
    error_message = "There is no such file, or it is no JSON."
  }
}

variable "temp_bucket" {
  description = "Bucket in which jobs stage what they need."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.temp_bucket))
    error_message = "A bucket's name, without gs://."
  }
}

variable "machine_type" {
  description = "Machine type of workers: a unit takes a core and 1.75 GiB."
  type        = string
  default     = "n2-standard-8"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z]+-?[0-9]*$", var.machine_type))
    error_message = "A machine type looks like n2-standard-8."
  }
}

variable "launcher_machine_type" {
  description = "Machine type of the launcher, which plans the run: a million sources take about 2 GiB."
  type        = string
  default     = "n2-standard-2"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z]+-?[0-9]*$", var.launcher_machine_type))
    error_message = "A machine type looks like n2-standard-2."
  }
}

variable "disk_size_gb" {
  description = "Disk of a worker: sources in hand and unfinished shards."
  type        = number
  default     = 100

  validation {
    condition     = var.disk_size_gb >= 50 && var.disk_size_gb <= 2000
    error_message = "Workers have disks of 50 to 2,000 GB."
  }
}

variable "max_workers" {
  description = "Machines at most."
  type        = number
  default     = 20

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 1000
    error_message = "1 to 1,000 machines; Dataflow takes no more."
  }
}
