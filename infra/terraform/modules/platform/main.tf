# What an environment is: every other module, put together. The engines and Composer come if they are asked for, because
# they are what costs something while nothing runs.

locals {
  repository_root = "${path.module}/../../../.."
  with            = { for part in ["dataflow", "ray", "composer"] : part => contains(var.parts, part) }
  labels          = merge(var.labels, { system = "provoice", environment = var.environment })
  image           = "${module.registry.repository}/provoice:${var.image_tag}"

  services = concat(
    [
      "artifactregistry.googleapis.com", "bigquery.googleapis.com", "bigqueryconnection.googleapis.com",
      "billingbudgets.googleapis.com", "cloudbuild.googleapis.com", "cloudkms.googleapis.com",
      "cloudresourcemanager.googleapis.com", "compute.googleapis.com", "datacatalog.googleapis.com",
      "iam.googleapis.com", "logging.googleapis.com", "monitoring.googleapis.com", "storage.googleapis.com",
    ],
    local.with["dataflow"] ? ["dataflow.googleapis.com"] : [],
    local.with["ray"] ? ["container.googleapis.com", "containersecurity.googleapis.com"] : [],
    local.with["composer"] ? ["composer.googleapis.com"] : [],
  )

  keys = setunion(
    ["raw", "lake", "ledger", "temp", "keys", "registry", "warehouse", "logs"],
    local.with["ray"] ? ["cluster"] : [],
    local.with["composer"] ? ["composer"] : [],
  )
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "this" {
  for_each = toset(local.services)

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

module "identity" {
  source = "../identity"

  project_id    = var.project_id
  region        = var.region
  prefix        = var.prefix
  labels        = local.labels
  keys          = local.keys
  guard_deletes = var.guard_deletes

  depends_on = [google_project_service.this]
}

module "network" {
  source = "../network"

  project_id = var.project_id
  region     = var.region
  prefix     = var.prefix
  internet   = var.internet

  depends_on = [google_project_service.this]
}

module "storage" {
  source = "../storage"

  project_id              = var.project_id
  region                  = var.region
  prefix                  = var.prefix
  labels                  = local.labels
  emails                  = module.identity.emails
  kms_keys                = module.identity.kms_keys
  creator_role            = module.identity.creator_role
  eraser_role             = module.identity.eraser_role
  delete_tags             = module.identity.delete_tags
  stewards                = var.stewards
  contributors            = var.contributors
  raw_storage_class       = var.raw_storage_class
  ledger_retention_days   = var.ledger_retention_days
  ledger_retention_locked = var.ledger_retention_locked
}

module "registry" {
  source = "../registry"

  project_id = var.project_id
  region     = var.region
  prefix     = var.prefix
  labels     = local.labels
  kms_key    = module.identity.kms_keys["registry"]
  emails     = module.identity.emails
}

module "dataflow" {
  source = "../dataflow"
  count  = local.with["dataflow"] ? 1 : 0

  project_id    = var.project_id
  region        = var.region
  prefix        = var.prefix
  labels        = local.labels
  kms_key       = module.identity.kms_keys["temp"]
  network       = module.network.network
  subnetwork    = module.network.subnetwork
  emails        = module.identity.emails
  image         = local.image
  metadata_path = "${local.repository_root}/infra/dataflow/metadata.json"
  temp_bucket   = module.storage.buckets["temp"]
  max_workers   = var.max_workers
}

module "ray" {
  source = "../ray"
  count  = local.with["ray"] ? 1 : 0

  project_id          = var.project_id
  region              = var.region
  zone                = var.zone
  prefix              = var.prefix
  labels              = local.labels
  kms_key             = module.identity.kms_keys["cluster"]
  network             = module.network.network
  subnetwork          = module.network.subnetwork
  ranges              = module.network.ranges
  emails              = module.identity.emails
  deletion_protection = var.environment == "prod"
  gpu_pool            = var.gpu_pool

  cpu_pool = {
    machine_type = "n2-standard-8"
    most         = var.max_workers
  }
}

module "composer" {
  source = "../composer"
  count  = local.with["composer"] ? 1 : 0

  project_id        = var.project_id
  region            = var.region
  prefix            = var.prefix
  labels            = local.labels
  kms_key           = module.identity.kms_keys["composer"]
  network           = module.network.network
  subnetwork        = module.network.subnetwork
  emails            = module.identity.emails
  dags_path         = "${local.repository_root}/infra/airflow/dags"
  program_path      = "${local.repository_root}/infra/kuberay/provoice-in-cluster"
  settings          = merge({ program = ["bash", "/home/airflow/gcs/data/provoice-in-cluster"] }, var.airflow_settings)
  web_server_ranges = var.web_server_ranges

  # What the script above needs; without a cluster, `airflow_settings` names another program.
  env_variables = merge(
    { PROVOICE_IMAGE = local.image, PROVOICE_KEYS = "gs://${module.storage.buckets["keys"]}" },
    local.with["ray"] ? { PROVOICE_CLUSTER = module.ray[0].cluster, PROVOICE_CLUSTER_LOCATION = var.zone, PROVOICE_NAMESPACE = module.ray[0].namespace } : {},
  )
}

module "warehouse" {
  source = "../warehouse"

  project_id         = var.project_id
  region             = var.region
  prefix             = var.prefix
  labels             = local.labels
  kms_key            = module.identity.kms_keys["warehouse"]
  lake_bucket        = module.storage.buckets["lake"]
  lake_uri           = module.storage.uris.lake
  snapshot           = var.snapshot
  releases           = var.releases
  stewards           = var.stewards
  analysts           = var.analysts
  transcript_readers = var.transcript_readers
}

module "observability" {
  source = "../observability"

  project_id     = var.project_id
  project_number = data.google_project.this.number
  region         = var.region
  prefix         = var.prefix
  labels         = local.labels
  kms_key        = module.identity.kms_keys["logs"]
  emails         = module.identity.emails
  buckets        = module.storage.buckets
  alert_emails   = var.alert_emails
  monthly_budget = var.monthly_budget
}
