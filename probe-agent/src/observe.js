import { forbiddenTarget, formatAddress } from '@mecai/addresses';
import { signObservation } from '@mecai/corroboration';
import { KeyType, Task, isName } from '@mecai/proto';
import { startTlsProtocols } from '@mecai/tls-probe';
const keyTypes = {
  [KeyType.KEY_TYPE_UNSPECIFIED]: 'any',
  [KeyType.KEY_TYPE_RSA]: 'rsa',
  [KeyType.KEY_TYPE_ECDSA]: 'ecdsa',
};
const maxTimeoutMs = 60_000;
export class Observer {
  #parts;
  #inFlight = 0;
  constructor(parts) {
    this.#parts = parts;
  }
  get inFlight() {
    return this.#inFlight;
  }
  /** One promise for each target; none rejects. What is not a task gets no answer. */
  answer(bytes) {
    const task = readTask(bytes);
    if (!task) return [];
    return task.targets.map(async (target) => ({
      coordinator: task.coordinator,
      signed: signObservation(await this.#observe(task, target), this.#parts.key),
    }));
  }
  async #observe(task, target) {
    const { name, now, allowedTargets, maxInFlight } = this.#parts;
    const observation = { ...blank, nonce: task.nonce, agent: name, target, observedAt: now() };
    const failed = (cause, detail) => ({
      ...observation,
      failure: { class: cause, alert: 0, detail },
    });
    // The coordinator checks this as well; an agent must not become a scanner when that one is captured.
    const forbidden = forbiddenTarget(target.address, allowedTargets);
    if (forbidden !== undefined) return failed('forbidden-target', forbidden);
    if (this.#inFlight >= maxInFlight) return failed('overloaded', `${maxInFlight} probes are in flight`);
    this.#inFlight++;
    try {
      return { ...observation, ...reported(await this.#probe(target, task.timeoutMs)) };
    } catch (error) {
      return failed('local-error', error.message);
    } finally {
      this.#inFlight--;
    }
  }
  #probe(target, timeoutMs) {
    const { prober, bindIpv4, bindIpv6 } = this.#parts;
    const localAddress = target.address.length === 4 ? bindIpv4 : bindIpv6;
    // The phases follow one another; together they stay within the task's time.
    const third = Math.floor(timeoutMs / 3);
    return prober(
      {
        address: formatAddress(target.address),
        port: target.port,
        ...(target.serverName !== '' && { serverName: target.serverName }),
        ...(target.startTls !== '' && { startTls: target.startTls }),
      },
      {
        keyType: keyTypes[target.keyType] ?? 'any',
        ...(localAddress !== undefined && { localAddress }),
        limits: { connectMs: third, preambleMs: third, handshakeMs: third },
      },
    );
  }
}
const blank = {
  chain: [],
  possessionProven: false,
  tls: undefined,
  ocsp: [],
  sctLists: [],
  timings: undefined,
  failure: undefined,
};
function readTask(bytes) {
  let task;
  try {
    task = Task.decode(bytes);
  } catch {
    return undefined;
  }
  const sound =
    task.nonce.length === 32 &&
    isName(task.coordinator) &&
    task.timeoutMs > 0 &&
    task.timeoutMs <= maxTimeoutMs &&
    task.targets.length >= 1 &&
    task.targets.length <= 2 &&
    task.targets.every(
      ({ address, port, serverName, startTls }) =>
        (address.length === 4 || address.length === 16) &&
        port >= 1 &&
        port <= 65_535 &&
        serverName.length <= 253 &&
        (startTls === '' || startTlsProtocols.includes(startTls)),
    );
  return sound ? task : undefined;
}
function reported(result) {
  const { timings, error } = result;
  return {
    chain: [...result.chain],
    possessionProven: result.possessionProven,
    tls: {
      version: result.version ?? 0,
      cipherSuite: result.cipherSuite ?? 0,
      group: result.group ?? 0,
      signatureScheme: result.signatureScheme ?? 0,
      alpn: result.alpn ?? '',
    },
    ocsp: result.ocspResponses.map(({ certificate, der }) => ({ certificate, response: der })),
    sctLists: [...result.sctLists],
    timings: {
      connect: Math.round(timings.connect ?? 0),
      firstByte: Math.round(timings.firstByte ?? 0),
      proof: Math.round(timings.proof ?? 0),
      end: Math.round(timings.end),
    },
    failure: error && { class: error.class, alert: error.alert ?? 0, detail: error.detail.slice(0, 300) },
  };
}
//# sourceMappingURL=observe.js.map
