# Machines without public addresses. They reach Google's own services, and nobody else, unless `internet` is set.

resource "google_compute_network" "this" {
  project                 = var.project_id
  name                    = var.prefix
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project_id
  name                     = "${var.prefix}-${var.region}"
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.ranges.nodes
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = var.ranges.pods
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = var.ranges.services
  }

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Dataflow's machines hand each other what is shuffled; the ports are fixed by Dataflow.
resource "google_compute_firewall" "dataflow" {
  project   = var.project_id
  name      = "${var.prefix}-dataflow"
  network   = google_compute_network.this.name
  direction = "INGRESS"

  source_tags = ["dataflow"]
  target_tags = ["dataflow"]

  allow {
    protocol = "tcp"
    ports    = ["12345", "12346"]
  }
}

resource "google_compute_router" "this" {
  count = var.internet ? 1 : 0

  project = var.project_id
  name    = var.prefix
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  count = var.internet ? 1 : 0

  project                            = var.project_id
  name                               = var.prefix
  region                             = var.region
  router                             = google_compute_router.this[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
