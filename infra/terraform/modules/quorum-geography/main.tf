# Whether these perspectives make a quorum, and still make one when a region or a network is lost. It plans nothing:
# it needs no provider, and whatever depends on its outputs is not planned when it refuses.

terraform {
  required_version = ">= 1.6.0"
}

locals {
  names   = sort(keys(var.perspectives))
  allowed = var.policy.perspectives >= 6 ? 2 : 1

  # Distances. There is no trigonometry in this language, but a sine is a sum: up to x^21/21! its error is less than
  # 1.1e-11 for |x| <= pi. Two points of the unit sphere are near when the chord between them is short, which needs
  # neither an arc sine nor care at the antimeridian or the poles. The radius is the one of the signer's own rule, so
  # that the two differ by less than a millimetre; the sphere itself is within 0.5 % of the ellipsoid.
  earth_radius_km = 6371.0088
  degree          = 3.14159265358979323846 / 180
  factorials      = [1, 6, 120, 5040, 362880, 39916800, 6227020800, 1307674368000, 355687428096000, 121645100408832000, 51090942171709440000]

  # Latitude, its complement, longitude, its complement; the sine of the complement is the cosine.
  angles = merge(
    { for name, p in var.perspectives : name => [
      for degrees in [p.latitude, 90 - abs(p.latitude), p.longitude, 90 - abs(p.longitude)] : degrees * local.degree
    ] },
    # Not a name: half the angle that the shortest distance allowed is seen under from the centre.
    { "/nearest" = [var.policy.min_distance_km / (2 * local.earth_radius_km)] },
  )
  sines = { for name, angles in local.angles : name => [
    for x in angles : sum([for n, factorial in local.factorials : pow(-1, n) * pow(x, 2 * n + 1) / factorial])
  ] }
  positions = { for name in local.names : name => [
    local.sines[name][1] * local.sines[name][3],
    local.sines[name][1] * local.sines[name][2],
    local.sines[name][0],
  ] }
  shortest_chord = 2 * local.sines["/nearest"][0]
  chords = flatten([for i, a in local.names : [for b in slice(local.names, i + 1, length(local.names)) : {
    pair  = "${a} and ${b}"
    chord = pow(sum([for axis in [0, 1, 2] : pow(local.positions[a][axis] - local.positions[b][axis], 2)]), 0.5)
  }]])
  # Up to 500 km the chord is at most 0.03 % shorter than the way over the ground.
  too_near = [for one in local.chords : "${one.pair} (${floor(one.chord * local.earth_radius_km)} km)" if one.chord < local.shortest_chord]

  # Regions take turns when the signer draws whom to ask. So no draw takes more than `allowed` from a region if the
  # regions, each counted with at most that many, fill it.
  networks = distinct([for name in local.names : var.perspectives[name].asn])
  regions  = distinct([for name in local.names : var.perspectives[name].rir])
  in_turns = sum(concat([0], [for rir in local.regions : min(local.allowed, length([for p in values(var.perspectives) : p if p.rir == rir]))]))
  too_heavy = [for asn in local.networks : "AS${asn}" if local.allowed < sum([
    for rir in local.regions : min(local.allowed, length([for p in values(var.perspectives) : p if p.rir == rir && p.asn == asn]))
  ])]
}
