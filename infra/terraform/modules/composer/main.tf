# Airflow, with the DAGs of infra/airflow and what they are to do. Tasks call the command line; it runs where
# `settings.program` says.

resource "google_composer_environment" "this" {
  project = var.project_id
  name    = "${var.prefix}-airflow"
  region  = var.region
  labels  = var.labels

  config {
    environment_size           = var.environment_size
    enable_private_environment = true
    enable_private_builds_only = true

    node_config {
      network         = var.network
      subnetwork      = var.subnetwork
      service_account = var.emails["scheduler"]
    }

    encryption_config {
      kms_key_name = var.kms_key
    }

    software_config {
      image_version           = var.image_version
      web_server_plugins_mode = "ENABLED"
      pypi_packages           = var.pypi_packages
      env_variables           = var.env_variables

      airflow_config_overrides = {
        "core-dags_are_paused_at_creation" = "True"
        "core-max_active_runs_per_dag"     = "1"
        "webserver-expose_config"          = "False"
      }
    }

    workloads_config {
      scheduler {
        count      = 1
        cpu        = 0.5
        memory_gb  = 2
        storage_gb = 1
      }

      triggerer {
        count     = 1
        cpu       = 0.5
        memory_gb = 1
      }

      dag_processor {
        count      = 1
        cpu        = 0.5
        memory_gb  = 2
        storage_gb = 1
      }

      web_server {
        cpu        = 0.5
        memory_gb  = 2
        storage_gb = 1
      }

      worker {
        cpu        = var.worker.cpu
        memory_gb  = var.worker.memory_gb
        storage_gb = var.worker.storage_gb
        min_count  = 1
        max_count  = 3
      }
    }

    web_server_network_access_control {
      dynamic "allowed_ip_range" {
        for_each = var.web_server_ranges

        content {
          value       = allowed_ip_range.value
          description = allowed_ip_range.key
        }
      }
    }

    # What tasks printed and when they ran; neither is kept for longer than the logs of runs are.
    data_retention_config {
      task_logs_retention_config {
        storage_mode = "CLOUD_LOGGING_ONLY"
      }

      airflow_metadata_retention_config {
        retention_mode = "RETENTION_MODE_ENABLED"
        retention_days = 60
      }
    }
  }
}

locals {
  # gs://BUCKET/dags
  dags   = google_composer_environment.this.config[0].dag_gcs_prefix
  bucket = split("/", local.dags)[2]
}

resource "google_storage_bucket_object" "dag" {
  for_each = setunion(fileset(var.dags_path, "**/*.py"), fileset(var.dags_path, ".airflowignore"))

  bucket         = local.bucket
  name           = "dags/${each.key}"
  source         = "${var.dags_path}/${each.key}"
  source_md5hash = filemd5("${var.dags_path}/${each.key}")
}

resource "google_storage_bucket_object" "settings" {
  bucket       = local.bucket
  name         = "dags/provoice.json"
  content      = jsonencode(var.settings)
  content_type = "application/json"
}

# What runs the command line in the cluster, under the identity that each command needs.
resource "google_storage_bucket_object" "program" {
  bucket         = local.bucket
  name           = "data/provoice-in-cluster"
  source         = var.program_path
  source_md5hash = filemd5(var.program_path)
}
