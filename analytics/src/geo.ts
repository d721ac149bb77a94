import { type AsnResponse, type CountryResponse, type Reader, open } from 'maxmind';
import { RuntimeError } from '@mecai/runtime';

export interface Location {
  /** ISO 3166-1 alpha-2; empty: unknown. */
  readonly country: string;
  /** 0: unknown. */
  readonly asn: number;
}

const nowhere: Location = { country: '', asn: 0 };
const capacity = 100_000;

/** Where addresses are, by the operator's GeoIP databases; the answers met last are kept. */
export class Geo {
  readonly #country: Reader<CountryResponse> | undefined;
  readonly #asn: Reader<AsnResponse> | undefined;
  readonly #known = new Map<string, Location>();

  private constructor(country: Reader<CountryResponse> | undefined, asn: Reader<AsnResponse> | undefined) {
    this.#country = country;
    this.#asn = asn;
  }

  /** @throws RuntimeError `bad-configuration` when a database cannot be read */
  static async open({
    country,
    asn,
  }: {
    country?: string | undefined;
    asn?: string | undefined;
  }): Promise<Geo> {
    return new Geo(
      country === undefined ? undefined : await database<CountryResponse>(country),
      asn === undefined ? undefined : await database<AsnResponse>(asn),
    );
  }

  /** @param address as text, IPv4 also as `::ffff:a.b.c.d` */
  find(address: string): Location {
    if (!this.#country && !this.#asn) return nowhere;
    const known = this.#known.get(address);
    if (known) return known;
    const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
    const found = {
      country: this.#country?.get(plain)?.country?.iso_code ?? '',
      asn: this.#asn?.get(plain)?.autonomous_system_number ?? 0,
    };
    if (this.#known.size >= capacity) this.#known.clear();
    this.#known.set(address, found);
    return found;
  }
}

async function database<T extends CountryResponse | AsnResponse>(file: string): Promise<Reader<T>> {
  try {
    return await open<T>(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unreadable';
    throw new RuntimeError('bad-configuration', `${file}: ${reason}`, { cause });
  }
}
