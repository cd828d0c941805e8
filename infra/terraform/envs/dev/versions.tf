terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # `terraform init -backend-config=bucket=…` says which.
  backend "gcs" {
    prefix = "provoice/dev"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Budgets and tags are billed to the project that asks, and a person's own login belongs to none.
  billing_project       = var.project_id
  user_project_override = true
}
