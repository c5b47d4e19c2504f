export function formatMemInfo(_w: Int32Array, _o: object): string[] { return [] }
