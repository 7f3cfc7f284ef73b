const MB = 1e6;

/** Bytes as people read them: 98 MB, 1.07 GB. */
export function size(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / MB)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** 34 of 98 MB. */
export function ofSize(bytes: number, total: number): string {
  return total < 1e9
    ? `${Math.floor(bytes / MB)} of ${size(total)}`
    : `${(bytes / 1e9).toFixed(2)} of ${size(total)}`;
}

/** Bytes a second; empty while it is not known. */
export function rate(bytesPerSecond: number): string {
  return bytesPerSecond > 0 ? `${(bytesPerSecond / MB).toFixed(1)} MB/s` : '';
}

/** Time left, ever rougher the longer it is; empty while it is not known. */
export function left(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min left`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min left`;
}
