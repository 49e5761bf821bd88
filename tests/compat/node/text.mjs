// What both clients' programs do to a text.

// The lines of a file as buffers, without their ends.
export function lines(data) {
  const found = [];
  for (let at = 0; at < data.length;) {
    const end = data.indexOf(10, at);
    check(end >= 0, 'the last line has no end');
    found.push(data.subarray(at, end));
    at = end + 1;
  }
  return found;
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}
