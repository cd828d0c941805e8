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

variable "zone" {
  description = "Zone of the cluster: one zone costs no traffic between zones, and a run survives its loss by being resumed."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone)) && startswith(var.zone, "${var.region}-")
    error_message = "A zone of the region, such as europe-west4-a."
  }
}

variable "ranges" {
  description = "Names of the subnetwork's secondary ranges: pods and services."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["pods", "services"], keys(var.ranges))) == 0
    error_message = "Both are needed: pods and services."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of everything that infra/kuberay describes."
  type        = string
  default     = "provoice"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace has lower case letters, digits and hyphens."
  }
}

variable "release_channel" {
  description = "How soon the cluster gets new versions."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE", "EXTENDED"], var.release_channel)
    error_message = "RAPID, REGULAR, STABLE or EXTENDED."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to destroy the cluster."
  type        = bool
  default     = true

  validation {
    condition     = var.deletion_protection != null
    error_message = "Say true or false."
  }
}

variable "head_machine_type" {
  description = "Machine type of the head, which runs the driver."
  type        = string
  default     = "e2-standard-4"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z]+-[0-9]+$", var.head_machine_type))
    error_message = "A machine type looks like e2-standard-4."
  }
}

variable "cpu_pool" {
  description = "Spot machines without a GPU, and how many there may be."
  type = object({
    machine_type = string
    most         = number
  })
  default = {
    machine_type = "n2-standard-8"
    most         = 20
  }

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z]+-[0-9]+$", var.cpu_pool.machine_type)) && var.cpu_pool.most >= 1 && var.cpu_pool.most <= 1000
    error_message = "A machine type such as n2-standard-8, and 1 to 1,000 machines."
  }
}

variable "gpu_pool" {
  description = "Spot machines with GPUs, and how many there may be; null: none."
  type = object({
    machine_type = string
    type         = string
    count        = number
    most         = number
  })
  default = null

  validation {
    condition     = var.gpu_pool == null || try(startswith(var.gpu_pool.type, "nvidia-") && var.gpu_pool.count >= 1 && var.gpu_pool.most >= 1, false)
    error_message = "A GPU type such as nvidia-l4, at least one of it, on at least one machine."
  }
}
