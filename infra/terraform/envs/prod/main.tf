# In earnest: nothing reaches the internet, and what was said in the ledger stays for ten years.

module "platform" {
  source = "../../modules/platform"

  environment        = "prod"
  project_id         = var.project_id
  region             = var.region
  zone               = var.zone
  prefix             = "provoice"
  parts              = var.parts
  image_tag          = var.image_tag
  stewards           = var.stewards
  contributors       = var.contributors
  analysts           = var.analysts
  transcript_readers = var.transcript_readers
  snapshot           = var.snapshot
  releases           = var.releases
  alert_emails       = var.alert_emails
  monthly_budget     = var.monthly_budget
  guard_deletes      = var.guard_deletes

  max_workers             = 100
  ledger_retention_days   = 3650
  ledger_retention_locked = var.ledger_retention_locked
  airflow_settings        = var.airflow_settings
  web_server_ranges       = var.web_server_ranges

  gpu_pool = {
    machine_type = "g2-standard-8"
    type         = "nvidia-l4"
    count        = 1
    most         = 20
  }
}
