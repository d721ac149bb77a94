/** Vouchers that no signer would make: the DER of a good one, changed, and signed again where the change is inside. */
import { der } from '@mecai/pki';
import { changed, type DerNode, readTree, type TestVa, writeTree } from '@mecai/voucher/testing';
import { hash, sign } from 'node:crypto';

type Edit = (node: DerNode) => readonly DerNode[];

/** ContentInfo: 1.0 is SignedData, whose last child is the SET of SignerInfos. */
const signedDataPath = [1, 0] as const;
export const signedData = (root: DerNode): DerNode => root.children![1]!.children![0]!;
const signerInfoPath = (root: DerNode) => [...signedDataPath, signedData(root).children!.length - 1, 0];

/** A change around the content, where no signature is. */
export const edited = (voucher: Uint8Array, path: readonly number[], edit: Edit): Uint8Array =>
  writeTree(changed(readTree(voucher), path, edit));

export const inSignedData = (voucher: Uint8Array, path: readonly number[], edit: Edit): Uint8Array =>
  edited(voucher, [...signedDataPath, ...path], edit);

/** 0 version, 1 sid, 2 digestAlgorithm, 3 signedAttrs, 4 signatureAlgorithm, 5 signature. */
export const inSignerInfo = (voucher: Uint8Array, path: readonly number[], edit: Edit): Uint8Array =>
  edited(voucher, [...signerInfoPath(readTree(voucher)), ...path], edit);

/** A change of the content, under a signature that is right. */
export function inContent(voucher: Uint8Array, by: TestVa, path: readonly number[], edit: Edit): Uint8Array {
  const content = signedData(readTree(voucher)).children![2]!.children![1]!.children![0]!.content!;
  return withContent(voucher, by, edited(content, path, edit));
}

export function withContent(voucher: Uint8Array, by: TestVa, content: Uint8Array): Uint8Array {
  const other = inSignedData(voucher, [2, 1, 0], ({ tag }) => [{ tag, content }]);
  const { digestAlgorithm } = by.signer;
  const digest = hash(digestAlgorithm, content, 'buffer');
  const messageDigest = Buffer.from(der.oid('1.2.840.113549.1.9.4'));
  return resigned(other, by, (attribute) =>
    Buffer.from(writeTree(attribute.children![0]!)).equals(messageDigest)
      ? [changed(attribute, [1, 0], ({ tag }) => [{ tag, content: digest }])]
      : [attribute],
  );
}

/** A change of the signed attributes, under a signature that is right; kept in DER order. */
export function resigned(
  voucher: Uint8Array,
  by: TestVa,
  each: Edit,
  order: 'der' | 'turned' = 'der',
): Uint8Array {
  const ascending = (nodes: readonly DerNode[]) =>
    nodes.toSorted((a, b) => Buffer.compare(writeTree(a), writeTree(b)));
  const changedAttributes = inSignerInfo(voucher, [3], ({ tag, children }) => {
    const nodes = ascending(children!.flatMap(each));
    return [{ tag, children: order === 'der' ? nodes : nodes.toReversed() }];
  });
  const root = readTree(changedAttributes);
  const { children } = signerInfoPath(root).reduce<DerNode>((node, i) => node.children![i]!, root);
  const toBeSigned = writeTree({ tag: 0x31, children: children![3]!.children! });
  const signature = sign(by.signer.digestAlgorithm, toBeSigned, by.certificate.privateKey);
  return inSignerInfo(changedAttributes, [5], ({ tag }) => [{ tag, content: signature }]);
}
