/** One run of the simulation on a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { type SimulationOptions, score, simulate } from '@mecai/analytics/simulation';

parentPort!.postMessage(score(simulate(workerData as SimulationOptions)), []);
