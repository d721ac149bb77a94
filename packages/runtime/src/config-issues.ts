/** What is wrong with a configuration, for the person who wrote it. Apart from the rest, which brings gRPC along. */
import type * as z from 'zod';
import { linesOf } from './json-lines.ts';

/**
 * One line for each fault: member, what was expected, and the line where it stands.
 *
 * @param file JSON
 */
export function describeIssues(
  issues: readonly z.core.$ZodIssue[],
  { file, text }: { readonly file: string; readonly text: string },
): string {
  const lines = linesOf(text);
  const problems = issues.flatMap(meant).map((issue) => {
    const named = issue.path.map(String);
    // What is not known stands within what is; what is missing stands nowhere.
    const unknown = issue.code === 'unrecognized_keys' ? [...named, issue.keys[0]!] : named;
    const line = lines.get(unknown.join('.'));
    return `  ${named.join('.') || '(top)'}: ${issue.message}${line === undefined ? '' : `, in line ${line}`}`;
  });
  return `${file}:\n${problems.join('\n')}`;
}

/** Of alternatives, what is wrong with the one that was most likely meant. */
function meant(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const flat = issue.errors.every(([only, ...others]) => others.length === 0 && only?.path.length === 0);
  if (flat) return [{ ...issue, message: issue.errors.map(([only]) => only!.message).join(', or ') }];
  const [likely] = issue.errors.toSorted((a, b) => a.length - b.length);
  return likely!.flatMap((inner) => meant({ ...inner, path: [...issue.path, ...inner.path] }));
}
