/** One chain at one endpoint, from the draw to the voucher. */
import { hash } from 'node:crypto';
import { DatabaseError } from '@mecai/database';
import type { Decision, SignedObservation } from '@mecai/proto';
import { type Drawn, type Issued, RefusalCode, type Refused, type Subject } from '@mecai/proto/signer';
import { type Context, type Logger, SpanKind, type Telemetry, traced, within } from '@mecai/runtime';
import { type ChainResult, type RefusalReason, vrpLimits } from '@mecai/voucher';
import type { Answers, Heard } from './answers.ts';
import type { CoordinatorConfig } from './config.ts';
import type { Distrust } from './distrust/distrust.ts';
import { CoordinatorError } from './error.ts';
import { Inquiry } from './inquiry.ts';
import type { CertificateLog } from './log/certificate-log.ts';
import type { CoordinatorMeasures } from './measures.ts';
import type { Perspectives } from './perspectives.ts';
import type { Records } from './records.ts';
import type { SignerClient } from './signer-client.ts';
import type { KnownSigner, Signers } from './signers.ts';

export interface DecideParts {
  readonly name: string;
  readonly signers: Pick<Signers, 'next' | 'another'>;
  readonly distrust: Pick<Distrust, 'refusal'>;
  readonly perspectives: Pick<Perspectives, 'ask' | 'silentMs' | 'expectConnected'>;
  readonly records: Pick<Records, 'decision' | 'later'>;
  readonly certificates: Pick<CertificateLog, 'standing' | 'admit'>;
  readonly probe: CoordinatorConfig['probe'];
  readonly telemetry: Telemetry;
  readonly measures: Pick<CoordinatorMeasures, 'verdict'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface Question {
  readonly subject: Subject;
  /** SHA-256 of each certificate of the chain. */
  readonly digests: readonly Uint8Array[];
  /** Address, 4 or 16 octets. */
  readonly requester: Uint8Array;
  readonly authenticated: boolean;
  /** Parent of what is traced of this question. */
  readonly trace?: Context | undefined;
}

export interface Decided {
  readonly result: ChainResult;
  /** A part of the authority is away: nothing is known about the chain. */
  readonly unavailable: boolean;
}

type Verdict = Pick<ChainResult, 'status' | 'reason' | 'detail' | 'retryAfter'>;
interface Conclusion {
  readonly verdict: Verdict;
  readonly issued?: Issued;
  readonly unavailable?: boolean;
}

/** Characters. */
const maxDetail = 1_000;
/** How long a signer is given for a draw while there is another one. Milliseconds. */
const drawPatienceMs = 1_500;
/** When too many of those drawn are absent. */
const freshDrawsForAbsent = 2;
/** Seconds. */
export const retryAfter = { unavailable: 10, inconclusive: 60, rateLimited: 60 } as const;

/** @throws CoordinatorError when a part is away before any perspective has been asked */
export async function decide(all: DecideParts, question: Question): Promise<Decided> {
  const parts = question.trace ? { ...all, log: traced(all.log, question.trace) } : all;
  const leaf = question.digests[0]!;
  const distrusted = parts.distrust.refusal(question.subject.chain, parts.now());
  if (distrusted !== undefined) {
    const refused = { status: 'refused', reason: 'distrusted', detail: distrusted } as const;
    return { result: { leaf, perspectives: [], ...refused }, unavailable: false };
  }
  let signer = parts.signers.next();
  const tried = new Set([signer]);
  const another = (trouble: unknown) => {
    const other = isSignerAway(trouble) || isOwnTrouble(trouble) ? parts.signers.another(tried) : undefined;
    if (other) tried.add((signer = other));
    return other !== undefined;
  };
  // A signer that restarts forgets its draws: once, the question is put to it anew.
  let mayDrawAgain = true;
  let freshDraws = freshDrawsForAbsent;
  for (;;) {
    parts.perspectives.expectConnected();
    let drawn: Awaited<ReturnType<SignerClient['draw']>>;
    try {
      const patience = parts.signers.another(tried) && drawPatienceMs;
      drawn = await signer.client.draw(question.subject, question.trace, patience);
    } catch (error) {
      if (another(error)) continue;
      throw error;
    }
    if ('refused' in drawn) {
      if (another(drawn)) continue;
      const result = { leaf, perspectives: [], ...refusal(drawn.refused) };
      return { result, unavailable: isOwnTrouble(drawn) };
    }
    const inquiry = new Inquiry(
      {
        ...parts,
        registry: signer.registry,
        policy: signer.policy,
        span: () => parts.telemetry.span('perspectives', question.trace),
        heard: (sender, heard, evidence) => alarm(parts, question, drawn, sender, heard, evidence),
      },
      drawn,
      question.subject.chain,
    );
    // A fresh draw asks others; within what the signer allows, since who may draw without end may choose.
    if (inquiry.hopeless && freshDraws > 0 && signer.registry.agents.size > drawn.agents.length) {
      freshDraws--;
      continue;
    }
    inquiry.ask();
    // While the perspectives look.
    const revocation = signer.revocation.bring(drawn, question.trace && parts.log);
    const { unregistered } = inquiry.answers;
    if (unregistered.length > 0) parts.log.warn({ agents: unregistered }, 'drawn, but not in this registry');
    try {
      const asked = { signer, mayDrawAgain, another };
      const conclusion = await conclude(parts, question, inquiry, drawn, revocation, asked);
      if (conclusion === 'again') {
        mayDrawAgain = false;
        continue;
      }
      const {
        verdict,
        issued,
        unavailable = false,
      } = await onRecord(parts, question, drawn, inquiry, conclusion, signer.id);
      const perspectives = inquiry.answers.perspectives();
      return {
        result: { leaf, ...verdict, ...(issued && { voucher: issued.voucher }), perspectives },
        unavailable,
      };
    } finally {
      inquiry.letGo();
    }
  }
}

/** Whom the draw is from, and what may be done when it cannot go on. */
interface Asked {
  readonly signer: KnownSigner;
  readonly mayDrawAgain: boolean;
  /** Whether there is another signer to put the question to, after this error or refusal of the signer. */
  readonly another: (trouble: unknown) => boolean;
}

async function conclude(
  parts: DecideParts,
  question: Question,
  inquiry: Inquiry,
  drawn: Drawn,
  revocation: Promise<void>,
  { signer, mayDrawAgain, another }: Asked,
): Promise<Conclusion | 'again'> {
  const { answers } = inquiry;
  let admitted = false;
  for (;;) {
    const outcome = await inquiry.outcome();
    if (outcome === 'mismatch') return { verdict: { status: outcome, detail: answers.words() } };
    if (outcome === 'inconclusive') {
      return {
        verdict: { status: outcome, detail: answers.words(), retryAfter: retryAfter.inconclusive },
      };
    }
    await revocation;
    let answer: Awaited<ReturnType<SignerClient['issue']>>;
    try {
      if (!admitted) {
        const span = parts.telemetry.span('certificate log', question.trace);
        const held = await within(span, () => admission(parts, question, drawn, answers));
        if (held === 'forged') continue;
        if (held) return { verdict: held };
        admitted = true;
      }
      answer = await signer.client.issue(drawn.nonce, answers.evidence, question.trace);
    } catch (error) {
      return another(error) ? 'again' : away(parts, error);
    }
    if (!('refused' in answer))
      return { verdict: { status: 'issued', ...leftOut(answer.trustContexts) }, issued: answer };
    const { code, faults } = answer.refused;
    if (code === RefusalCode.REFUSAL_CODE_UNKNOWN_DRAW && mayDrawAgain) return 'again';
    if (another(answer)) return 'again';
    // Observations that the signer does not accept are worth nothing; others may still come.
    answers.strike(faults);
    const waiting =
      code === RefusalCode.REFUSAL_CODE_NO_QUORUM &&
      (answers.outcome() !== 'corroborated' || (await inquiry.another()));
    if (!waiting) return { verdict: refusal(answer.refused), unavailable: isOwnTrouble(answer) };
  }
}

/**
 * What the certificate log has against a voucher; undefined where it has nothing. A certificate enters it with the
 * first request that is corroborated in earnest.
 *
 * @throws DatabaseError, CoordinatorError
 */
async function admission(
  { certificates, now }: DecideParts,
  question: Question,
  { trustContexts }: Drawn,
  answers: Answers,
): Promise<Verdict | 'forged' | undefined> {
  const leaf = question.digests[0]!;
  const before = await certificates.standing(leaf);
  if (!before) {
    const forged = answers.forged();
    if (forged.length > 0) {
      answers.strike(forged);
      return 'forged';
    }
  }
  const sight = {
    question,
    trustContexts: trustContexts.flatMap(({ id, trusted }) => (trusted ? [id] : [])),
    perspectives: answers.perspectives(),
  };
  const { state, holdUntil } = await certificates.admit(sight, leaf, before, () => answers.scts());
  switch (state) {
    case 'cleared':
      return undefined;
    case 'held': {
      const detail = `on hold until ${new Date(holdUntil).toISOString()}, so that the owner of the name can object`;
      const wait = Math.ceil((holdUntil - now()) / 1000);
      return {
        status: 'on-hold',
        detail,
        retryAfter: Math.min(Math.max(wait, 1), vrpLimits.retryAfterSeconds),
      };
    }
    case 'objected':
      return { status: 'refused', reason: 'objected', detail: 'the owner of the name has objected' };
    case 'expired':
      return { status: 'refused', reason: 'untrusted', detail: 'the certificate has expired' };
    default:
      return state satisfies never;
  }
}

/** A refusal that says nothing about the question: it stops, its clock is wrong, its HSM or disk fails. */
const isOwnTrouble = (trouble: unknown): boolean =>
  ownTroubles.has((Object(trouble) as { refused?: Refused }).refused?.code);
const ownTroubles = new Set<RefusalCode | undefined>([
  RefusalCode.REFUSAL_CODE_STOPPING,
  RefusalCode.REFUSAL_CODE_CLOCK,
  RefusalCode.REFUSAL_CODE_INTERNAL,
]);

/** Why the voucher does not name every trust context. */
function leftOut(contexts: Issued['trustContexts']): Pick<Verdict, 'detail'> {
  const reasons = contexts.flatMap(({ id, trusted, reason }) => (trusted ? [] : [`${id}: ${reason}`]));
  return reasons.length > 0 ? { detail: `left out: ${reasons.join('; ')}`.slice(0, maxDetail) } : {};
}

/** What becomes of a refusal by the signer. */
function refusal({ code, detail }: Refused): Verdict {
  const reasons: Partial<Record<RefusalCode, RefusalReason>> = {
    [RefusalCode.REFUSAL_CODE_OWN_CA]: 'own-ca',
    [RefusalCode.REFUSAL_CODE_DISTRUSTED]: 'distrusted',
    [RefusalCode.REFUSAL_CODE_UNTRUSTED]: 'untrusted',
    [RefusalCode.REFUSAL_CODE_REVOKED]: 'revoked',
    [RefusalCode.REFUSAL_CODE_FORBIDDEN_TARGET]: 'forbidden-target',
    [RefusalCode.REFUSAL_CODE_MALFORMED]: 'malformed',
    [RefusalCode.REFUSAL_CODE_DRAW_LIMIT]: 'rate-limited',
  };
  const reason = reasons[code];
  if (!reason) {
    return { status: 'inconclusive', detail: `signer: ${detail}`, retryAfter: retryAfter.inconclusive };
  }
  return {
    status: 'refused',
    reason,
    detail,
    ...(reason === 'rate-limited' && { retryAfter: retryAfter.rateLimited }),
  };
}

/** @throws what is no part being away */
function away({ log }: Pick<DecideParts, 'log'>, error: unknown): Conclusion {
  if (!(error instanceof CoordinatorError || error instanceof DatabaseError)) throw error;
  if (error instanceof DatabaseError) log.error({ err: error }, 'certificate log');
  const detail = error instanceof DatabaseError ? 'the certificate log is away' : error.message;
  return {
    verdict: { status: 'inconclusive', detail, retryAfter: retryAfter.unavailable },
    unavailable: true,
  };
}

/** A voucher leaves only once its record is stored; other decisions need not be waited for. */
async function onRecord(
  { name, records, telemetry, measures, log, now }: DecideParts,
  { digests, requester, authenticated, trace }: Question,
  { nonce, targets, agents }: Drawn,
  { answers }: Inquiry,
  conclusion: Conclusion,
  signer: string,
): Promise<Conclusion> {
  const { verdict, issued } = conclusion;
  const decision: Decision = {
    nonce,
    decidedAt: now(),
    coordinator: name,
    targets,
    chain: [...digests],
    status: verdict.status,
    reason: verdict.reason ?? '',
    detail: verdict.detail ?? '',
    perspectives: targets.flatMap(({ address }, target) =>
      agents.map((agent) => ({ agent, address, code: '', ...answers.judgement(agent, target) })),
    ),
    voucher: issued?.voucher ?? new Uint8Array(),
    requester,
    authenticated,
    auditSequence: issued?.auditSequence ?? 0,
    signer: issued ? signer : '',
  };
  for (const { agent, verdict, code } of decision.perspectives) measures.verdict({ agent, verdict, code });
  if (!issued) {
    records.later({ decision });
    return conclusion;
  }
  try {
    await within(telemetry.span('record stored', trace, SpanKind.PRODUCER), () => records.decision(decision));
    return conclusion;
  } catch (error) {
    return away({ log }, error);
  }
}

/** Whatever the decision: a proven mismatch becomes an event. */
function alarm(
  { name, records, now }: DecideParts,
  { digests }: Question,
  { nonce, targets }: Drawn,
  agent: string,
  { observation, target, judgement }: Heard,
  evidence: SignedObservation,
): void {
  if (judgement.verdict !== 'mismatch') return;
  records.later({
    mismatch: {
      nonce,
      seenAt: now(),
      coordinator: name,
      agent,
      target: targets[target],
      expected: [...digests],
      observed: observation.chain.map(sha256),
      evidence,
    },
  });
}

const isSignerAway = (error: unknown) =>
  error instanceof CoordinatorError && error.code === 'signer-unavailable';

const sha256 = (bytes: Uint8Array): Uint8Array => hash('sha256', bytes, 'buffer');
