//! Code that is compiled for several kinds of machine, of which the best is chosen when it runs.

/// Calls a function that is compiled three times: plainly, for AVX2 and for AVX-512.
macro_rules! widest {
    ($each:ident($($arg:ident: $type:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn wide($($arg: $type),*) {
                $each($($arg),*);
            }
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn widest($($arg: $type),*) {
                $each($($arg),*);
            }
            #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the machine has been asked.
                return unsafe { widest($($arg),*) };
            } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the machine has been asked.
                return unsafe { wide($($arg),*) };
            }
        }
        $each($($arg),*);
    }};
}
