module purgeline.bench/peer

go 1.19
