# Which sets of perspectives are refused, and why. No provider: `terraform test` here plans nothing real.

variables {
  registry_version = 1
  perspectives = {
    frankfurt    = { city = "Frankfurt", country = "DE", latitude = 50.11, longitude = 8.68, rir = "ripencc", asn = 64496 }
    helsinki     = { city = "Helsinki", country = "FI", latitude = 60.17, longitude = 24.94, rir = "ripencc", asn = 64497 }
    ashburn      = { city = "Ashburn", country = "US", latitude = 39.04, longitude = -77.49, rir = "arin", asn = 64497 }
    montreal     = { city = "Montréal", region = "CA-QC", country = "CA", latitude = 45.5, longitude = -73.57, rir = "arin", asn = 64498 }
    tokyo        = { city = "Tokyo", country = "JP", latitude = 35.68, longitude = 139.69, rir = "apnic", asn = 64496 }
    johannesburg = { city = "Johannesburg", country = "ZA", latitude = -26.2, longitude = 28.05, rir = "afrinic", asn = 64499 }
    santiago     = { city = "Santiago", country = "CL", latitude = -33.45, longitude = -70.67, rir = "lacnic", asn = 64499 }
  }
}

run "seven_in_five_regions" {
  command = plan
  assert {
    condition     = jsondecode(output.registry) == { version = 1, agents = [] }
    error_message = "No key is known: ${output.registry}"
  }
  assert {
    condition     = length(output.without_key) == 7
    error_message = "All seven wait for their keys."
  }
}

run "keys_come_later" {
  command = plan
  variables {
    keys = { montreal = { public_key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==" } }
  }
  assert {
    condition     = jsondecode(output.registry).agents[0].region == "CA-QC" && length(output.without_key) == 6
    error_message = output.registry
  }
}

run "too_few" {
  command = plan
  variables {
    policy = { perspectives = 8 }
  }
  expect_failures = [output.registry]
}

run "two_too_near" {
  command = plan
  variables {
    policy = { min_distance_km = 900 }
  }
  expect_failures = [output.registry]
}

run "near_across_the_antimeridian" {
  command = plan
  variables {
    policy = { perspectives = 2, min_regions = 1, min_networks = 1 }
    perspectives = {
      west = { city = "West", country = "FJ", latitude = -16.8, longitude = 179.9, rir = "apnic", asn = 64496 }
      east = { city = "East", country = "FJ", latitude = -16.8, longitude = -179.9, rir = "ripencc", asn = 64497 }
    }
  }
  expect_failures = [output.registry]
}

run "two_regions_only" {
  command = plan
  variables {
    policy = { perspectives = 3, min_regions = 2, min_networks = 2 }
    perspectives = {
      frankfurt = { city = "Frankfurt", country = "DE", latitude = 50.11, longitude = 8.68, rir = "ripencc", asn = 64496 }
      helsinki  = { city = "Helsinki", country = "FI", latitude = 60.17, longitude = 24.94, rir = "ripencc", asn = 64497 }
      ashburn   = { city = "Ashburn", country = "US", latitude = 39.04, longitude = -77.49, rir = "arin", asn = 64498 }
    }
  }
  expect_failures = [output.registry]
}

run "one_network_everywhere" {
  command = plan
  variables {
    policy = { perspectives = 4, min_regions = 2, min_networks = 2 }
    perspectives = {
      frankfurt    = { city = "Frankfurt", country = "DE", latitude = 50.11, longitude = 8.68, rir = "ripencc", asn = 64496 }
      ashburn      = { city = "Ashburn", country = "US", latitude = 39.04, longitude = -77.49, rir = "arin", asn = 64496 }
      tokyo        = { city = "Tokyo", country = "JP", latitude = 35.68, longitude = 139.69, rir = "apnic", asn = 64496 }
      johannesburg = { city = "Johannesburg", country = "ZA", latitude = -26.2, longitude = 28.05, rir = "afrinic", asn = 64496 }
    }
  }
  expect_failures = [output.registry]
}

run "key_of_nobody" {
  command = plan
  variables {
    keys = { paris = { public_key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==" } }
  }
  expect_failures = [output.registry]
}

run "private_key_by_mistake" {
  command = plan
  variables {
    keys = { tokyo = { public_key = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg" } }
  }
  expect_failures = [var.keys]
}

run "policy_that_survives_nothing" {
  command = plan
  variables {
    policy = { perspectives = 2 }
  }
  expect_failures = [var.policy]
}

run "unknown_rir" {
  command = plan
  variables {
    perspectives = {
      frankfurt = { city = "Frankfurt", country = "DE", latitude = 50.11, longitude = 8.68, rir = "ripe", asn = 64496 }
    }
  }
  expect_failures = [var.perspectives]
}
