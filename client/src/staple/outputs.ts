/** What the server is to hold: from the vouchers at hand to the bytes of each file. */
import { bundlePath, containerLimits, encodeVoucherBundle, VoucherError } from '@mecai/voucher';
import { basename, join } from 'node:path';
import type { OutputFile } from './deliver.ts';
import { contentOf } from './files.ts';
import type { OcspAugmenter } from './ocsp.ts';
import { encodeServerInfo, maxExtensionOctets } from './serverinfo.ts';
import type { Plan, Target } from './targets.ts';

export interface StapledVa {
  readonly id: string;
  readonly codepoint: number;
}

export interface OutputParts {
  readonly plan: Plan;
  /** In the order of the list: each has its extension in every file, empty if there is no voucher. */
  readonly vas: readonly StapledVa[];
  /** Vouchers that hold, by VA, for a target. */
  readonly vouchersOf: (target: Target) => ReadonlyMap<string, Uint8Array>;
  readonly wellKnown?: string;
  readonly ocsp?: {
    /** Names of the VAs whose vouchers travel in the OCSP slot. */
    readonly vas: readonly string[];
    readonly responseOf: (target: Target) => Uint8Array | undefined;
    readonly augmenter: OcspAugmenter;
  };
  readonly now: Date;
  readonly problem: (target: Target, why: string) => void;
}

export interface Outputs {
  readonly files: readonly OutputFile[];
  /** Augmented responses by target, for the responder. */
  readonly responses: ReadonlyMap<string, Uint8Array>;
}

export function outputsFor(parts: OutputParts): Outputs {
  const { plan, vas, vouchersOf } = parts;
  const files: OutputFile[] = [];
  const responses = new Map<string, Uint8Array>();
  const loaded = (path: string, content: Uint8Array) => files.push({ path, content, needsReload: true });

  const empty = encodeServerInfo(vas.map(({ codepoint }) => ({ type: codepoint, data: new Uint8Array() })));
  for (const path of plan.stubs) loaded(path, Buffer.from(empty));
  for (const target of plan.targets) {
    const vouchers = vouchersOf(target);
    const fitting = (id: string) => {
      const voucher = vouchers.get(id);
      return voucher && voucher.length <= maxExtensionOctets ? voucher : new Uint8Array();
    };
    const info = encodeServerInfo(vas.map(({ id, codepoint }) => ({ type: codepoint, data: fitting(id) })));
    for (const path of target.serverInfoFiles) loaded(path, Buffer.from(info));
    const response = augmented(parts, target, vouchers);
    if (!response) continue;
    responses.set(target.id, response);
    for (const path of target.ocspFiles) loaded(path, response);
  }
  return { files: [...files, ...bundles(parts)], responses };
}

function augmented(
  { ocsp, now, problem }: OutputParts,
  target: Target,
  vouchers: ReadonlyMap<string, Uint8Array>,
): Uint8Array | undefined {
  const response = ocsp?.responseOf(target);
  if (!ocsp || !response) return undefined;
  const chosen = ocsp.vas.flatMap((id) => vouchers.get(id) ?? []).slice(0, containerLimits.containers);
  const [existing] = target.ocspFiles.map(contentOf);
  // Fewer vouchers rather than none, if they are too large together.
  for (let count = chosen.length; count >= 0; count--) {
    try {
      return ocsp.augmenter.augmented(response, chosen.slice(0, count), existing, now);
    } catch (error) {
      if (!(error instanceof VoucherError)) throw error;
      problem(target, `OCSP slot: ${error.message}`);
    }
  }
  return undefined;
}

/** One file for each certificate: it may be at several endpoints. Nothing is removed: old ones expire. */
function bundles({ plan, vas, vouchersOf, wellKnown, problem }: OutputParts): OutputFile[] {
  if (wellKnown === undefined) return [];
  const byLeaf = new Map<string, { target: Target; vouchers: Uint8Array[] }>();
  for (const target of plan.targets) {
    const name = basename(bundlePath(target.chain[0]!));
    const entry = byLeaf.get(name) ?? { target, vouchers: [] };
    const held = vouchersOf(target);
    entry.vouchers.push(...vas.flatMap(({ id }) => held.get(id) ?? []));
    byLeaf.set(name, entry);
  }
  return [...byLeaf].flatMap(([name, { target, vouchers }]) => {
    try {
      return [{ path: join(wellKnown, name), content: encodeVoucherBundle(vouchers), needsReload: false }];
    } catch (error) {
      if (!(error instanceof VoucherError)) throw error;
      problem(target, `bundle: ${error.message}`);
      return [];
    }
  });
}
