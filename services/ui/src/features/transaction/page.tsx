export function TransactionPage() {
  return <div className="page" />
}
