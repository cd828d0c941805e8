locals {
  pools = merge(
    {
      system = { machine_type = "e2-standard-4", spot = false, least = 1, most = 3, gpu = null, disk_size_gb = 50 }
      # The driver is lost with its machine, so it is not on one that may be taken away.
      head = { machine_type = var.head_machine_type, spot = false, least = 0, most = 3, gpu = null, disk_size_gb = 100 }
      cpu  = { machine_type = var.cpu_pool.machine_type, spot = true, least = 0, most = var.cpu_pool.most, gpu = null, disk_size_gb = 200 }
    },
    var.gpu_pool == null ? {} : {
      gpu = { machine_type = var.gpu_pool.machine_type, spot = true, least = 0, most = var.gpu_pool.most, gpu = var.gpu_pool, disk_size_gb = 200 }
    },
  )

  # Only what asks for a pool lands there, so that the others can shrink to nothing.
  taints = { for name, pool in local.pools : name => name == "system" ? [] : [{ key = "provoice/pool", value = name }] }
}

resource "google_container_node_pool" "this" {
  for_each = local.pools

  project            = var.project_id
  name               = each.key
  location           = var.zone
  cluster            = google_container_cluster.this.name
  initial_node_count = each.value.least

  autoscaling {
    total_min_node_count = each.value.least
    total_max_node_count = each.value.most
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  network_config {
    enable_private_nodes = true
  }

  node_config {
    machine_type      = each.value.machine_type
    spot              = each.value.spot
    disk_type         = "pd-balanced"
    disk_size_gb      = each.value.disk_size_gb
    image_type        = "COS_CONTAINERD"
    boot_disk_kms_key = var.kms_key
    service_account   = var.emails["nodes"]
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    labels            = { "provoice/pool" = each.key }
    resource_labels   = merge(var.labels, { pool = each.key })

    dynamic "guest_accelerator" {
      for_each = each.value.gpu == null ? [] : [each.value.gpu]

      content {
        type  = guest_accelerator.value.type
        count = guest_accelerator.value.count

        gpu_driver_installation_config {
          gpu_driver_version = "LATEST"
        }
      }
    }

    dynamic "taint" {
      for_each = local.taints[each.key]

      content {
        key    = taint.value.key
        value  = taint.value.value
        effect = "NO_SCHEDULE"
      }
    }

    gcfs_config {
      enabled = true
    }

    metadata = {
      disable-legacy-endpoints = "true"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}

# Pods come with the account of their identity, and with no key file.
resource "google_service_account_iam_member" "workload" {
  for_each = toset(["planner", "worker", "erasure", "auditor", "trainer"])

  service_account_id = "projects/${var.project_id}/serviceAccounts/${var.emails[each.key]}"
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.namespace}/${each.key}]"

  depends_on = [google_container_cluster.this]
}
