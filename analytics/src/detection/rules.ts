/**
 * Thresholds and weights. Whoever changes one raises `version`: incidents and verdicts name it, and `recompute`
 * judges stored facts by the new ones. The figures were chosen on the training seeds of the simulation and are
 * reported on others (`npm run bench -- detection`).
 */
export interface Rules {
  readonly version: number;
  /** What an agent saw counts as its present view for this long. */
  readonly viewMs: number;
  /** A view from elsewhere speaks against another key if it is at most this much older than that key. */
  readonly contemporaryMs: number;
  /** A difference that has stood for this long without growing is how the endpoint is. */
  readonly standingMs: number;
  /** A key that nobody has seen for this long, while another is seen in several regions, is replaced. */
  readonly goneMs: number;
  /** No evidence for this long closes an incident. */
  readonly closeAfterMs: number;
  /** So sure that an incident opens, 0 to 1. */
  readonly openAt: number;
  /** How long others may take to see the same, before an agent that sees it alone is called faulty. */
  readonly aloneMs: number;
  /** Endpoints at which an agent has to differ alone. */
  readonly aloneEndpoints: number;
  /** Endpoints of a network of servers whose issuers are known well enough to miss one. */
  readonly knownNetwork: number;
  /** Other names that an issuer has to be seen with, from several countries, to be called public. */
  readonly publicIssuer: number;
  /** Endpoints seen from several regions, below which little is known of what is usual. */
  readonly youngMemory: number;
  /** Clocks of agents may be off by this much. */
  readonly clockMs: number;
  readonly outage: {
    /** Share of failures at which a place counts as out. */
    readonly out: number;
    /** Alarm of the CUSUM: sum of log likelihood ratios. */
    readonly alarm: number;
    /** Share of the alarm at which an agent is out together with others. */
    readonly together: number;
  };
  /** Natural logarithms of odds: each sign that holds is added, and the sum becomes the confidence. */
  readonly weights: Readonly<Record<Sign | 'prior', number>>;
}

/** What speaks for or against an interception. */
export type Sign =
  /** The issuer signs nothing that is seen elsewhere. */
  | 'unknown-issuer'
  /** A public issuer, but one that this network of servers does not use. */
  | 'new-issuer'
  /** It signed for two networks of servers that have nothing to do with each other; for three or more. */
  | 'two-networks-of-servers'
  | 'many-networks-of-servers'
  /** One key for names that have different ones elsewhere. */
  | 'one-key'
  /** Agents of two or more networks see it; of one network; one agent alone. */
  | 'several-networks'
  | 'one-network'
  | 'one-agent'
  /** Several agents in other places see the other key at the same time. */
  | 'contrast'
  /** Subject or names are those of the genuine certificate, by an issuer that is not. */
  | 'copied-subject'
  /** The certificate is not for that name: browsers would not take it. */
  | 'other-name'
  /** Without SNI the same agents see what everyone sees. */
  | 'sni-triggered'
  /** Three or more endpoints changed within two minutes. */
  | 'simultaneous-onset'
  /** Nobody there had seen another key before. */
  | 'never-other'
  /** The same, and too few endpoints are known to tell what is usual. */
  | 'young-memory'
  /** A public issuer, seen in several countries: networks of servers do not stop at borders. */
  | 'several-countries'
  /** A public issuer, and no other country of the region was seen to disagree: they may be served the same. */
  | 'no-neighbour';

const minute = 60_000;

export const rules: Rules = {
  version: 4,
  viewMs: 60 * minute,
  contemporaryMs: 1_000,
  standingMs: 24 * 60 * minute,
  goneMs: 2 * minute,
  closeAfterMs: 10 * minute,
  openAt: 0.9,
  aloneMs: 80_000,
  aloneEndpoints: 3,
  knownNetwork: 5,
  publicIssuer: 10,
  youngMemory: 300,
  clockMs: 30_000,
  outage: { out: 0.5, alarm: 15, together: 0.65 },
  weights: {
    prior: -4,
    'unknown-issuer': 3,
    'new-issuer': 1.5,
    'two-networks-of-servers': 2,
    'many-networks-of-servers': 4,
    'one-key': 1.5,
    'several-networks': 2,
    'one-network': 1.5,
    'one-agent': -3,
    contrast: 1.5,
    'copied-subject': 1,
    'other-name': -2,
    'sni-triggered': 2,
    'simultaneous-onset': 1,
    'never-other': -2.5,
    'young-memory': -3,
    'several-countries': -2,
    'no-neighbour': -3,
  },
};
