/** Contacts in an RDAP domain object (RFC 9083 sections 5.1 and 5.3; jCard, RFC 7095). */
import { mailAddress, phoneNumber } from '../notice/recipient.ts';
import { isRecord, listOf, textOf } from './json.ts';

export interface Contacts {
  /** Lower case, without repetition. */
  readonly mail: readonly string[];
  /** `tel:+…`, without repetition. */
  readonly phone: readonly string[];
}

/** Of whom the domain's owner is one, or who reaches him. */
const roles: ReadonlySet<string> = new Set(['registrant', 'administrative', 'technical', 'abuse']);
/** Those inside others count, too: abuse contacts stand inside the registrar's. */
const maxEntities = 100;
/** Of each kind: a registry lists a handful. */
const maxContacts = 10;

/**
 * What is not plainly an address or a number is left out (redaction puts words there, RFC 9537), and so is
 * whatever is beyond the bounds.
 */
export function contactsOf(domain: unknown): Contacts {
  const mail = new Set<string>();
  const phone = new Set<string>();
  let seen = 0;
  const visit = (entities: unknown) => {
    for (const entity of listOf(entities)) {
      if (!isRecord(entity) || ++seen > maxEntities) continue;
      if (
        listOf(entity['roles'])
          .flatMap(textOf)
          .some((role) => roles.has(role.toLowerCase()))
      ) {
        read(listOf(entity['vcardArray'])[1]);
      }
      visit(entity['entities']);
    }
  };
  const read = (properties: unknown) => {
    for (const property of listOf(properties)) {
      const [name, parameters, , ...values] = listOf(property);
      for (const value of values.flatMap(textOf)) {
        const address = name === 'email' ? mailAddress(value) : undefined;
        if (address !== undefined) mail.add(address);
        const number = name === 'tel' && !isFax(parameters) ? phoneNumber(value) : undefined;
        if (number !== undefined) phone.add(number);
      }
    }
  };
  visit(isRecord(domain) ? domain['entities'] : []);
  return { mail: [...mail].slice(0, maxContacts), phone: [...phone].slice(0, maxContacts) };
}

function isFax(parameters: unknown): boolean {
  const type = isRecord(parameters) ? parameters['type'] : undefined;
  const types = [...textOf(type), ...listOf(type).flatMap(textOf)].map((one) => one.toLowerCase());
  return types.includes('fax') && !types.includes('voice');
}
