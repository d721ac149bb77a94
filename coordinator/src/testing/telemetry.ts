import { Telemetry, telemetryConfig } from '@mecai/runtime';
import { coordinatorMeasures } from '../measures.ts';

/** Without a collector. */
export const telemetry = new Telemetry('coordinator', 'test', telemetryConfig().parse({}));
export const measures = coordinatorMeasures(telemetry);
