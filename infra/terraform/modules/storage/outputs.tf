output "buckets" {
  description = "Names of the buckets: raw, lake, ledger, temp, keys."
  value       = local.buckets
}

output "uris" {
  description = "What `provoice run` takes: source, lake and ledger, and the key of the suppression list."
  value = {
    source          = "gs://${local.buckets["raw"]}"
    lake            = "gs://${local.buckets["lake"]}/main"
    ledger          = "gs://${local.buckets["ledger"]}/main"
    suppression_key = "gs://${local.buckets["keys"]}/suppression.key"
    certificate_key = "gs://${local.buckets["keys"]}/certificates.pem"
  }
}
