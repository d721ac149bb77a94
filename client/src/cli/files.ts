/** Files that the commands read and write. */
import { parseCertificate, pemBlocks, pemCertificates, PkiError } from '@mecai/pki';
import { voucherLimits } from '@mecai/voucher';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { CommandError, exitCodes } from './usage.ts';

/** More than any certificate bundle in use. */
const maxOctets = 4 * 1024 * 1024;

/** A SEQUENCE, as all DER that is read here. */
const isDer = (bytes: Uint8Array): boolean => bytes[0] === 0x30 && bytes[1] !== undefined && bytes[1] >= 0x80;

/** `-` is standard input. */
export async function readInput(path: string): Promise<Buffer> {
  try {
    if (path === '-') return await readStream(process.stdin);
    const file = await open(path);
    try {
      return await readStream(file.createReadStream());
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

async function readStream(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let octets = 0;
  for await (const chunk of stream) {
    octets += chunk.length;
    if (octets > maxOctets) throw new Error(`more than ${maxOctets} octets`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The certificates of a file, PEM or one in DER. */
export async function readCertificates(path: string): Promise<Uint8Array[]> {
  const bytes = await readInput(path);
  try {
    const certificates = isDer(bytes) ? [parseCertificate(bytes)] : pemCertificates(bytes.toString('latin1'));
    if (certificates.length > 0) return certificates.map((one) => one.der);
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause;
    throw unreadable(path, cause.message, cause);
  }
  throw unreadable(path, 'no certificate in it');
}

/** A voucher in DER, in PEM (RFC 7468, label CMS or PKCS7), or in base64. What is none is shown by its use. */
export async function readVoucher(path: string): Promise<Uint8Array> {
  const bytes = await readInput(path);
  if (isDer(bytes)) return bytes;
  const text = bytes.toString('latin1');
  const [block] = [...pemBlocks(text, 'CMS'), ...pemBlocks(text, 'PKCS7')];
  if (block) return block;
  const compact = text.replace(/\s+/g, '');
  if (compact.length > voucherLimits.signedOctets * 2 || !/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
    throw unreadable(path, 'neither DER nor PEM nor base64');
  }
  return Buffer.from(compact, 'base64');
}

/** A private key in PEM, not encrypted. */
export async function readKey(path: string): Promise<{ key: KeyObject; pem: string }> {
  const pem = (await readInput(path)).toString('latin1');
  try {
    return { key: createPrivateKey(pem), pem };
  } catch (cause) {
    throw unreadable(path, 'no private key in PEM, or an encrypted one', cause);
  }
}

/** All or nothing: a server may be reading the file at this moment. */
export async function writeOutput(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  try {
    await writeFile(temporary, bytes, { flag: 'wx' });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(exitCodes.unavailable, `cannot write ${path}: ${why}`, { cause });
  }
}

const unreadable = (path: string, why: string, cause?: unknown) =>
  new CommandError(exitCodes.unavailable, `cannot read ${path}: ${why}`, { cause });
