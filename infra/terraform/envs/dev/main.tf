# To try things out: what costs something while nothing runs is left out unless `parts` asks for it, and the ledger is
# retained for a day.

module "platform" {
  source = "../../modules/platform"

  environment        = "dev"
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

  max_workers           = 4
  ledger_retention_days = 1
}
