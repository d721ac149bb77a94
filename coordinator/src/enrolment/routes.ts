/**
 * Where agents join:
 *
 *   POST /enrolments   an enrolment as packages/corroboration has it → { state: pending | approved }
 *
 * An agent sends the same again until it is approved.
 */
import { CorroborationError, maxEnrolmentOctets } from '@mecai/corroboration';
import type { Logger } from '@mecai/runtime';
import type { Problem } from '../http-answers.ts';
import { type Route, jsonReply } from '../http-routes.ts';
import type { EnrolmentResult, Enrolments } from './enrolments.ts';

const problem = (status: number, title: string, detail: string): Problem => ({ status, title, detail });
const refusals: Readonly<Record<Exclude<EnrolmentResult, 'approved' | 'pending'>, Problem>> = {
  'unknown-token': problem(404, 'No such invitation', 'nobody was invited with this token, or not any more'),
  used: problem(
    409,
    'Token used',
    'another agent has joined with this token; if that was not you, tell the operator',
  ),
  expired: problem(410, 'Token expired', 'the invitation has expired; the operator can give another'),
};

export function enrolmentRoutes(enrolments: Pick<Enrolments, 'enrol'>, log: Logger): Route[] {
  return [
    {
      method: 'POST',
      path: '/enrolments',
      maxOctets: maxEnrolmentOctets,
      async handle({ body }) {
        const result = await enrolments.enrol(body).catch((error: unknown) => {
          if (error instanceof CorroborationError) return error;
          throw error;
        });
        if (result instanceof CorroborationError) {
          log.warn({ code: result.code, reason: result.message }, 'enrolment refused');
          const title = result.code === 'other-place' ? 'Not as invited' : 'Not proven';
          return problem(403, title, result.message);
        }
        if (result === 'approved' || result === 'pending') return jsonReply({ state: result });
        log.warn({ code: result }, 'enrolment refused');
        return refusals[result];
      },
    },
  ];
}
