/** `node test/src/bench/voucher.ts [--json]`: vouchers encoded, signed, linted and verified, beside pkijs. */
import { VoucherVerifier, verifyVoucher, voucherLinter } from '@mecai/voucher';
import { testVa, testVoucher } from '@mecai/voucher/testing';
import * as asn1js from 'asn1js';
import { sign } from 'node:crypto';
import * as pkijs from 'pkijs';
import { inTurns, reporter } from './figures.ts';

const report = reporter('voucher');
const va = testVa();
const signed = va.issue(testVoucher);
const { privateKey } = va.certificate;
const now = new Date(testVoucher.producedAt.getTime() + 3_600_000);
const roots = [va.root.der];
const rounds = 5;

/** What comes out of an HSM, without its time. */
const signature = sign('sha256', 'anything', privateKey);

/**
 * Operations per second of CPU, all threads, over about that many milliseconds, warmed up: on a machine with
 * other work to do, the clock on the wall would measure that as well.
 */
async function rate(milliseconds: number, operation: () => unknown): Promise<number> {
  const until = async (limit: number) => {
    const start = performance.now();
    const cpu = process.cpuUsage();
    let count = 0;
    while (performance.now() - start < limit) {
      for (let i = 0; i < 8; i++) await operation();
      count += 8;
    }
    const { user, system } = process.cpuUsage(cpu);
    return (count * 1_000_000) / (user + system);
  };
  await until(milliseconds / 4);
  return until(milliseconds);
}

// The same octets by pkijs: content, attributes, SignedData; everything that does not change is parsed before.
const certificates = [va.certificate, va.intermediate].map((one) => pkijs.Certificate.fromBER(one.der));
const root = pkijs.Certificate.fromBER(va.root.der);
const prepared = va.signer.prepare(testVoucher, testVoucher.producedAt);
const contentTree = asn1js.fromBER(prepared.content).result;
const attributesTree = asn1js.fromBER(prepared.toBeSigned).result;
if (!(attributesTree instanceof asn1js.Set)) throw new Error('no SET');
const attributeTrees = attributesTree.valueBlock.value;

/** asn1js writes the content from values, pkijs the rest. */
function encodeWithPkijs(): ArrayBuffer {
  const content = rebuilt(contentTree).toBER();
  const data = new pkijs.SignedData({
    version: 3,
    encapContentInfo: new pkijs.EncapsulatedContentInfo({
      eContentType: '1.2.3.4',
      eContent: new asn1js.OctetString({ valueHex: content }),
    }),
    certificates: [...certificates],
    digestAlgorithms: [new pkijs.AlgorithmIdentifier({ algorithmId: '2.16.840.1.101.3.4.2.1' })],
    signerInfos: [
      new pkijs.SignerInfo({
        version: 1,
        sid: new pkijs.IssuerAndSerialNumber({
          issuer: certificates[0]!.issuer,
          serialNumber: certificates[0]!.serialNumber,
        }),
        digestAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: '2.16.840.1.101.3.4.2.1' }),
        signedAttrs: new pkijs.SignedAndUnsignedAttributes({
          type: 0,
          attributes: attributeTrees.map((schema) => new pkijs.Attribute({ schema })),
        }),
        signatureAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: '1.2.840.10045.4.3.2' }),
        signature: new asn1js.OctetString({ valueHex: Uint8Array.from(signature).buffer }),
      }),
    ],
  });
  const info = new pkijs.ContentInfo({
    contentType: pkijs.ContentInfo.SIGNED_DATA,
    content: data.toSchema(true),
  });
  return info.toSchema().toBER();
}

/** A tree of new asn1js objects with the same values, as an encoder would make them. */
function rebuilt(node: asn1js.AsnType): asn1js.AsnType {
  const idBlock = { tagClass: node.idBlock.tagClass, tagNumber: node.idBlock.tagNumber };
  if (node instanceof asn1js.Sequence)
    return new asn1js.Sequence({ value: node.valueBlock.value.map(rebuilt) });
  if (node instanceof asn1js.Constructed) {
    return new asn1js.Constructed({ idBlock, value: node.valueBlock.value.map(rebuilt) });
  }
  if (node instanceof asn1js.Integer) return new asn1js.Integer({ value: node.valueBlock.valueDec });
  if (node instanceof asn1js.GeneralizedTime) return new asn1js.GeneralizedTime({ valueDate: node.toDate() });
  if (node instanceof asn1js.PrintableString)
    return new asn1js.PrintableString({ value: node.valueBlock.value });
  if (node instanceof asn1js.Boolean) return new asn1js.Boolean({ value: node.valueBlock.value });
  if (node instanceof asn1js.OctetString)
    return new asn1js.OctetString({ valueHex: node.valueBlock.valueHexView });
  if (node instanceof asn1js.Primitive)
    return new asn1js.Primitive({ idBlock, valueHex: node.valueBlock.valueHexView });
  throw new Error(`unexpected ${node.constructor.name}`);
}

async function verifyWithPkijs(): Promise<void> {
  const data = new pkijs.SignedData({ schema: pkijs.ContentInfo.fromBER(signed).content });
  const verified = await data.verify({ signer: 0, checkChain: true, trustedCerts: [root], checkDate: now });
  if (!verified) throw new Error('pkijs does not verify');
}

const encode = () => va.signer.prepare(testVoucher, testVoucher.producedAt).finish(signature);
if (Math.abs(encodeWithPkijs().byteLength - encode().length) > 32) throw new Error('not the same work');

const verifier = new VoucherVerifier({ roots });
const lint = voucherLinter({ vaCertificate: va.certificate.der, intermediates: [va.intermediate.der] });

const measured = await inTurns(rounds, {
  encode: () => rate(300, encode),
  encodePkijs: () => rate(300, encodeWithPkijs),
  issue: () => rate(300, () => va.issue(testVoucher)),
  cached: () => rate(300, () => verifier.verify(signed, now)),
  cold: () => rate(300, () => verifyVoucher(signed, { now, roots })),
  verifyPkijs: () => rate(300, verifyWithPkijs),
  lint: () => rate(300, () => lint(signed, testVoucher)),
});

const microseconds = (perSecond: number) => 1_000_000 / perSecond;
const peer = (perSecond: number) => ({ name: 'pkijs', value: perSecond });
report(
  'content and CMS encoded, without the signature',
  measured.encode,
  'per CPU second',
  peer(measured.encodePkijs),
);
report('encoded and signed, P-256 in software', measured.issue, 'per CPU second');
report(
  'verified, issuer cached',
  microseconds(measured.cached),
  'µs of CPU',
  peer(microseconds(measured.verifyPkijs)),
);
report('verified, cold', microseconds(measured.cold), 'µs of CPU', peer(microseconds(measured.verifyPkijs)));
report('linted', microseconds(measured.lint), 'µs of CPU');
report('one voucher, two certificates included', signed.length, 'bytes');
report('content of it, OCSP response of 209 octets included', prepared.content.length, 'bytes');
