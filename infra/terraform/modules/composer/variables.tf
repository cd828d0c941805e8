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

variable "image_version" {
  description = "Version of Composer and Airflow."
  type        = string
  default     = "composer-3-airflow-3"

  validation {
    condition     = can(regex("^composer-3-airflow-3(\\.[0-9]+){0,2}(-build\\.[0-9]+)?$", var.image_version))
    error_message = "Composer 3 with Airflow 3, such as composer-3-airflow-3.1.0."
  }
}

variable "environment_size" {
  description = "Size of what Google runs for the environment."
  type        = string
  default     = "ENVIRONMENT_SIZE_SMALL"

  validation {
    condition     = contains(["ENVIRONMENT_SIZE_SMALL", "ENVIRONMENT_SIZE_MEDIUM", "ENVIRONMENT_SIZE_LARGE"], var.environment_size)
    error_message = "ENVIRONMENT_SIZE_SMALL, _MEDIUM or _LARGE."
  }
}

variable "worker" {
  description = "What an Airflow worker has. It only waits for commands that run in the cluster; give it more where they run in it."
  type = object({
    cpu        = number
    memory_gb  = number
    storage_gb = number
  })
  default = {
    cpu        = 0.5
    memory_gb  = 2
    storage_gb = 10
  }

  validation {
    condition     = var.worker.cpu >= 0.5 && var.worker.memory_gb >= 2 && var.worker.storage_gb >= 1
    error_message = "At least half a core, 2 GB of memory and 1 GB of disk."
  }
}

variable "dags_path" {
  description = "Folder of the DAGs: infra/airflow/dags."
  type        = string

  validation {
    condition     = length(fileset(var.dags_path, "*.py")) > 0
    error_message = "There is no DAG in that folder."
  }
}

variable "program_path" {
  description = "The script that runs the command line in the cluster: infra/kuberay/provoice-in-cluster."
  type        = string

  validation {
    condition     = fileexists(var.program_path)
    error_message = "There is no such file."
  }
}

variable "settings" {
  description = "What `provoice.json` beside the DAGs says: program, retries, parameters and schedule of both DAGs."
  type        = any
  default     = {}

  validation {
    condition     = can(keys(var.settings))
    error_message = "Settings are an object; docs/airflow.md lists its keys."
  }
}

variable "pypi_packages" {
  description = "Packages that tasks need beside Airflow's own, and their versions."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for version in values(var.pypi_packages) : version == "" || can(regex("^(\\[|[=<>~!])", version))])
    error_message = "A version is written as pip takes it after the name, such as ==1.2.3."
  }
}

variable "env_variables" {
  description = "Environment of the tasks. No secrets: everybody who may see the environment sees them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.env_variables) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && !endswith(name, "_KEY")])
    error_message = "Names are upper case; keys are named by their place (…_KEY_URI), and never given here."
  }
}

variable "web_server_ranges" {
  description = "Addresses from which Airflow's pages are reached, as CIDR ranges by what they are."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for range in values(var.web_server_ranges) : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "CIDR ranges, and not the whole internet."
  }
}
