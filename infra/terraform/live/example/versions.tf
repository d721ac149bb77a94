terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws    = { source = "hashicorp/aws", version = ">= 6.0, < 7.0" }
    google = { source = "hashicorp/google", version = ">= 6.0, < 8.0" }
  }
}

# The centre is in Frankfurt; perspectives of AWS there and in Tokyo.
provider "aws" {
  region = "eu-central-1"
}

provider "aws" {
  alias  = "tokyo"
  region = "ap-northeast-1"
}

provider "google" {
  project = var.google_project
}
