/** The distrust list for coordinators: all of it, then each change as it comes. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { distrustMessage } from '@mecai/proto/distrust';
import type { DistrustRecord, WatchDistrustRequest, WatchDistrustResponse } from '@mecai/proto/signer';
import type { DistrustList, ListedDistrust } from './distrust-list.ts';

export type WatchCall = ServerWritableStream<WatchDistrustRequest, WatchDistrustResponse>;

/** Records in one message. */
const chunk = 100;

export class DistrustWatchers {
  readonly #list: DistrustList;
  readonly #open = new Set<WatchCall>();

  constructor(list: DistrustList) {
    this.#list = list;
    list.onChange((listed) => {
      for (const call of this.#open) call.write({ records: [recordOf(listed)], complete: false });
    });
  }

  add(call: WatchCall): void {
    const records = this.#list.list(true).map(recordOf);
    for (let at = 0; at < records.length; at += chunk) {
      call.write({ records: records.slice(at, at + chunk), complete: false });
    }
    call.write({ records: [], complete: true });
    this.#open.add(call);
    const gone = () => this.#open.delete(call);
    call.on('close', gone);
    call.on('cancelled', gone);
    call.on('error', gone);
  }

  end(): void {
    for (const call of this.#open) call.end();
  }
}

export const recordOf = ({ entry, set, lifted }: ListedDistrust): DistrustRecord => ({
  id: entry.id,
  distrust: distrustMessage(entry),
  set,
  lifted,
});
