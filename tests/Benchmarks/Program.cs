System.Console.WriteLine("Benchmarks: tokenizers | server");
