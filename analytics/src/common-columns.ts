import { type Agent, failureClassOf } from '@mecai/corroboration';
import type { Observation, ProbeFailure, Target, TlsParameters } from '@mecai/proto';
import type { Chain } from './certificate-cache.ts';
import { endpointKey } from './detection/sighting.ts';
import { atMost, cut, few, maxCertificates, short, targetFields } from './fields.ts';
import type { Geo } from './geo.ts';
import type { CommonColumns } from './rows.ts';

/** Who looked at what, and what there was to see; one object for all observations of the same. */
export interface Common {
  readonly columns: CommonColumns;
  /** `endpointKey` of the target. */
  readonly endpoint: string;
  readonly chain: Chain;
}

/** What it was made of. */
interface Source {
  readonly agent: Agent;
  readonly coordinator: string;
  readonly chain: Chain;
  readonly tls: TlsParameters | undefined;
  readonly failure: ProbeFailure | undefined;
  readonly possessionProven: boolean;
  readonly ocsp: number;
  readonly sctLists: number;
  readonly common: Common;
}

/** In all, about 600 octets each. */
const most = 50_000;
/** Of one target: they are looked through one by one. */
const mostOfOne = 256;

/**
 * What observations have in common, made once: parts of a message that come again are the same objects again
 * (ObservationDecoder, CertificateCache), so to find it takes no look at what is in them.
 */
export class CommonColumnsCache {
  readonly #geo: Geo;
  readonly #sources = new Map<Target | undefined, Source[]>();
  #size = 0;

  constructor(geo: Geo) {
    this.#geo = geo;
  }

  /** @throws Unfit when a column cannot hold it */
  find(observation: Observation, agent: Agent, coordinator: string, chain: Chain): Common {
    const { target, tls, failure, possessionProven, ocsp, sctLists } = observation;
    let sources = this.#sources.get(target) ?? [];
    for (const source of sources) {
      if (
        source.agent === agent &&
        source.coordinator === coordinator &&
        source.chain === chain &&
        source.tls === tls &&
        source.failure === failure &&
        source.possessionProven === possessionProven &&
        source.ocsp === ocsp.length &&
        source.sctLists === sctLists.length
      )
        return source.common;
    }
    const common = this.#make(observation, agent, coordinator, chain);
    if (this.#size >= most || sources.length >= mostOfOne) {
      this.#sources.clear();
      this.#size = 0;
      sources = [];
    }
    if (sources.length === 0) this.#sources.set(target, sources);
    this.#size++;
    sources.push({
      agent,
      coordinator,
      chain,
      tls,
      failure,
      possessionProven,
      ocsp: ocsp.length,
      sctLists: sctLists.length,
      common,
    });
    return common;
  }

  #make(observation: Observation, agent: Agent, coordinator: string, chain: Chain): Common {
    const target = targetFields(observation.target);
    const location = this.#geo.find(target.address);
    const { tls, failure } = observation;
    const [leaf] = chain.certificates;
    return {
      endpoint: endpointKey({
        address: target.address,
        port: target.port,
        serverName: target.server_name,
        startTls: target.start_tls,
        keyType: target.key_type,
      }),
      chain,
      columns: {
        coordinator,
        agent: agent.name,
        country: agent.country,
        region: agent.region,
        city: agent.city,
        rir: agent.rir,
        asn: agent.asn,
        address: target.address,
        target_country: location.country,
        target_asn: location.asn,
        port: target.port,
        server_name: target.server_name,
        start_tls: target.start_tls,
        key_type: target.key_type,
        chain: chain.fingerprints,
        leaf: leaf?.fingerprint ?? '',
        leaf_spki: leaf?.spki ?? '',
        leaf_key: leaf?.key ?? '',
        issuer: leaf?.issuer ?? '',
        possession_proven: observation.possessionProven,
        tls_version: atMost(0xffff, tls?.version ?? 0, 'version'),
        cipher_suite: atMost(0xffff, tls?.cipherSuite ?? 0, 'cipherSuite'),
        key_group: atMost(0xffff, tls?.group ?? 0, 'group'),
        signature_scheme: atMost(0xffff, tls?.signatureScheme ?? 0, 'signatureScheme'),
        // At most 255 octets (RFC 7301 section 3.1).
        alpn: short(255, tls?.alpn ?? '', 'alpn'),
        ocsp_responses: few(maxCertificates, observation.ocsp, 'ocsp').length,
        sct_lists: few(maxCertificates, observation.sctLists, 'sctLists').length,
        error_class: failure ? failureClassOf(failure) : '',
        alert: failure?.class === 'alert' ? atMost(0xff, failure.alert, 'alert') : null,
        error_detail: failure ? cut(300, failure.detail) : '',
      },
    };
  }
}
