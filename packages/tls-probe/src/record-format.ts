// struct {
//   ContentType type;              uint8
//   ProtocolVersion version;       uint16
//   uint16 length;
//   opaque fragment[length];
// } TLSPlaintext;                  RFC 8446 section 5.1, RFC 5246 section 6.2.1

export const contentTypes = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
} as const;

export const headerSize = 5;
/** Bytes of content in one record. */
export const maxPlaintext = 16_384;
/** Bytes of fragment in an encrypted record (RFC 8446 section 5.2; RFC 5246 section 6.2.3). */
export const maxTls13Ciphertext = maxPlaintext + 256;
export const maxTls12Ciphertext = maxPlaintext + 2_048;

/** An unencrypted record. @param minor 1 in the first ClientHello (RFC 8446 section 5.1), else 3 */
export function plainRecord(type: number, content: Buffer, minor = 3): Buffer {
  const record = Buffer.allocUnsafe(headerSize + content.length);
  record[0] = type;
  record[1] = 3;
  record[2] = minor;
  record.writeUInt16BE(content.length, 3);
  content.copy(record, headerSize);
  return record;
}

export const changeCipherSpec: Buffer = Buffer.from([contentTypes.changeCipherSpec, 3, 3, 0, 1, 1]);
