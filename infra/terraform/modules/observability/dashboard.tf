# One page, in the words of the run's report: what came in, what became of it, what it cost.

locals {
  # Beam's counters, as docs/beam.md lists them. Ray's runs show theirs with `provoice status`.
  counters = {
    "units committed, and without a commit" = ["receipts", "dead"]
    "sources and what became of them"       = ["sources", "emitted", "erased"]
    "audio read, speech and utterances, ms" = ["source_ms", "speech_ms", "utterance_ms"]
    "bytes read"                            = ["source_bytes"]
    "utterances"                            = ["utterances"]
  }

  by_reason = {
    "rejected, by reason"       = "rejected_"
    "held, by reason"           = "held_"
    "cuts put aside, by reason" = "utterances_rejected_"
  }

  queries = merge(
    { for title, names in local.counters : title => "metric.labels.metric_name=one_of(${join(",", [for name in names : "\"${name}\""])})" },
    { for title, start in local.by_reason : title => "metric.labels.metric_name=starts_with(\"${start}\")" },
  )

  counter_charts = [for title, which in local.queries : {
    title  = title
    filter = "metric.type=\"dataflow.googleapis.com/job/user_counter\" resource.type=\"dataflow_job\" ${which}"
    group  = ["metric.label.metric_name"]
    align  = "ALIGN_MAX"
  }]

  machine_charts = [
    {
      title  = "cores in use, by pool of the cluster"
      filter = "metric.type=\"kubernetes.io/node/cpu/core_usage_time\" resource.type=\"k8s_node\""
      group  = ["metadata.user_labels.\"provoice/pool\""]
      align  = "ALIGN_RATE"
    },
    {
      title  = "requests to the buckets, by method"
      filter = "metric.type=\"storage.googleapis.com/api/request_count\" resource.type=\"gcs_bucket\""
      group  = ["metric.label.method"]
      align  = "ALIGN_RATE"
    },
    {
      title  = "bytes that rest, by bucket"
      filter = "metric.type=\"storage.googleapis.com/storage/v2/total_bytes\" resource.type=\"gcs_bucket\""
      group  = ["resource.label.bucket_name"]
      align  = "ALIGN_MEAN"
    },
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "provoice"
    labels      = { (var.prefix) = "" }
    gridLayout = {
      columns = "2"
      widgets = [for chart in concat(local.counter_charts, local.machine_charts) : {
        title = chart.title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = {
                  alignmentPeriod    = "300s"
                  perSeriesAligner   = chart.align
                  crossSeriesReducer = "REDUCE_SUM"
                  groupByFields      = chart.group
                }
              }
            }
          }]
        }
      }]
    }
  })
}
