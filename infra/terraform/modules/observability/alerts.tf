# What somebody should be woken for, in the words of the command line's exit codes and of Beam's counters.

locals {
  ours = join(" OR ", [for name in values(var.buckets) : "protoPayload.resourceName:\"projects/_/buckets/${name}/\""])

  log_alerts = {
    "deleted by somebody else" = {
      filter   = "protoPayload.methodName=\"storage.objects.delete\" AND (${local.ours}) AND NOT protoPayload.resourceName:\"projects/_/buckets/${var.buckets["temp"]}/\" AND protoPayload.authenticationInfo.principalEmail!=\"${var.emails["erasure"]}\""
      severity = "CRITICAL"
      text     = "Only the erasure identity deletes. Find out who it was, and how they came to the right; `provoice audit verify` says what is missing."
    }
    "refused delete" = {
      filter   = "protoPayload.methodName=\"storage.objects.delete\" AND protoPayload.status.code=7 AND (${local.ours})"
      severity = "WARNING"
      text     = "Somebody who may not delete has tried to. A program that overwrites looks the same."
    }
    "bucket changed" = {
      filter   = "protoPayload.methodName=(\"storage.buckets.update\" OR \"storage.buckets.patch\" OR \"storage.setIamPermissions\") AND (${join(" OR ", [for name in values(var.buckets) : "protoPayload.resourceName=\"projects/_/buckets/${name}\""])})"
      severity = "WARNING"
      text     = "Versioning, soft delete, retention or rights of a bucket were changed. If Terraform did not do it, `terraform plan` shows what it was."
    }
    "refused for consent" = {
      filter   = "(resource.type=\"k8s_container\" OR resource.type=\"dataflow_step\") AND severity>=WARNING AND \"ConsentError\""
      severity = "ERROR"
      text     = "Exit code 4: the ledger is missing, broken or cannot be reached, or the suppression key is not there. Nothing is prepared until it is."
    }
    "store says something strange" = {
      filter   = "(resource.type=\"k8s_container\" OR resource.type=\"dataflow_step\") AND severity>=WARNING AND (\"LakeError\" OR \"RunStopped\")"
      severity = "ERROR"
      text     = "Exit code 1: the run broke. What is committed stays; the last line of the log is the command that resumes it."
    }
  }

  threshold_alerts = {
    "units without a commit" = {
      filter = "metric.type=\"dataflow.googleapis.com/job/user_counter\" AND resource.type=\"dataflow_job\" AND metric.labels.metric_name=\"dead\""
      above  = 0
      text   = "Units are dead: the counters dead_LakeError, dead_ConsentError and so on say of what. The same command line does what is left."
    }
    "job failed" = {
      filter = "metric.type=\"dataflow.googleapis.com/job/is_failed\" AND resource.type=\"dataflow_job\""
      above  = 0
      text   = "A Dataflow job failed. The same command line resumes the run."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = var.project_id
  display_name = "provoice: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = local.log_alerts

  project               = var.project_id
  display_name          = "provoice: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_matched_log {
      filter = each.value.filter
    }
  }

  alert_strategy {
    auto_close = "604800s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.threshold_alerts

  project               = var.project_id
  display_name          = "provoice: ${each.key}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }
}

resource "google_billing_budget" "this" {
  count = var.monthly_budget == null ? 0 : 1

  billing_account = var.monthly_budget.billing_account
  display_name    = "${var.prefix} in ${var.project_id}"

  budget_filter {
    projects        = ["projects/${var.project_number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = var.monthly_budget.currency
      units         = tostring(var.monthly_budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]

    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
    disable_default_iam_recipients   = length(var.alert_emails) > 0
  }
}
