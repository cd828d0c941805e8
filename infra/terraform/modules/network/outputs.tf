output "network" {
  description = "Self link of the network."
  value       = google_compute_network.this.self_link
}

output "subnetwork" {
  description = "Self link of the subnetwork."
  value       = google_compute_subnetwork.this.self_link
}

output "ranges" {
  description = "Names of the secondary ranges for pods and services."
  value       = { for range in google_compute_subnetwork.this.secondary_ip_range : range.range_name => range.range_name }
}
