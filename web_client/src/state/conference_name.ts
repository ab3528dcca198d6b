// What a conference's name tells before anybody is asked: its title.
//
// The server puts a title into the name, after the first hyphen, as UTF-8 in
// unpadded base64url, so that the page a link opens can show it at once. The
// name also carries a tag, which only the server can check, when one joins: until
// then a title is what somebody wrote into a link, and never shown as our words.

const TITLE_MAX_LENGTH = 120

/** The title in a conference's name; empty when there is none, or none that is text. */
export function titleOf(name: string): string {
  const hyphen = name.indexOf('-')
  if (hyphen < 0) return ''
  const encoded = name
    .slice(hyphen + 1)
    .replaceAll('-', '+')
    .replaceAll('_', '/')
  try {
    const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0))
    const title = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return isOneLine(title) ? title.slice(0, TITLE_MAX_LENGTH) : ''
  } catch {
    return ''
  }
}

/** No control characters, nor marks that turn the direction of the text around them. */
const isOneLine = (text: string): boolean => !/[\p{Cc}\u202a-\u202e]/u.test(text)
