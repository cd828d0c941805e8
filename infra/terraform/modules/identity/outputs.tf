output "emails" {
  description = "Addresses of the service accounts, by identity."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "creator_role" {
  description = "Custom role that creates and reads objects, and deletes none."
  value       = google_project_iam_custom_role.creator.name
}

output "eraser_role" {
  description = "Custom role that also deletes."
  value       = google_project_iam_custom_role.eraser.name
}

output "kms_keys" {
  description = "Keys by kind, once Google's accounts may use them."
  value       = { for name, key in google_kms_crypto_key.this : name => key.id }
  depends_on  = [google_kms_crypto_key_iam_member.agent]
}

output "delete_tags" {
  description = "Tag values that say who may delete from a bucket: erasure, nobody. Empty without the guard."
  value       = { for name, tag in google_tags_tag_value.deletes : name => tag.id }
}
