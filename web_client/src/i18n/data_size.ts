// An amount of data in words, as operators sell it: a megabyte is a million bytes.

/** "0.4 MB", "3,2 Mo", "48 MB", "1.24 GB"; digits enough to see it grow. */
export function dataSize(bytes: number, language: string): string {
  const megabytes = bytes / 1e6
  const [amount, unit, digits] =
    megabytes < 999.5
      ? [megabytes, 'megabyte', megabytes < 9.95 ? 1 : 0]
      : [megabytes / 1000, 'gigabyte', 2]
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amount)
}
